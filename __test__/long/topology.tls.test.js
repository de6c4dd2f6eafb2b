"use strict";

// The store trusts the TLS servers that Node trusts, and its error says why it refuses another.

const { spawnSync } = require("node:child_process");
const { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } = require("node:fs");
const net = require("node:net");
const { tmpdir } = require("node:os");
const path = require("node:path");
const tls = require("node:tls");
const selfsigned = require("selfsigned");
const { freePort, send, waitUntil } = require("../../scripts/redis-server.js");
const { makeCertificates, needingTls, tlsArgs } = require("../support/certificates.js");
const { failure } = require("../support/calls.js");
const { open, start, stopwatch } = require("../support/faults.js");
const { measured } = require("../support/measured.js");
const { run } = require("../support/run.js");

const EC = { keyType: "ec", algorithm: "sha256" };
const NO_CA = { name: "basicConstraints", cA: false };
const alternative = (...altNames) => ({ name: "subjectAltName", altNames });
const dns = (value) => ({ type: 2, value });
const ip = (address) => ({ type: 7, ip: address });
const DAY = 86_400_000;
const inDays = (days) => new Date(Date.now() + days * DAY);

/** Makes a certificate and its key with selfsigned. */
async function issue(commonName, options) {
  const made = await selfsigned.generate([{ name: "commonName", value: commonName }], options);
  return { cert: made.cert, key: made.private };
}

let redis;
let environment;
let authority;
let folder;
const closing = [];

beforeAll(async () => {
  redis = await require("../../scripts/redis-server.js").startRedisServer();
  environment = await makeCertificates();
  authority = await issue("another authority", {
    ...EC,
    extensions: [{ name: "basicConstraints", cA: true, critical: true }],
  });
  folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-tls-"));
});

afterAll(async () => {
  for (const close of closing.splice(0)) close();
  environment?.remove();
  rmSync(folder, { recursive: true, force: true });
  await redis?.stop();
});

/** Puts a TLS server with these options in front of the shared Redis; resolves to its port. */
async function front(options) {
  const sockets = new Set();
  const server = tls.createServer(options, (socket) => {
    const upstream = net.connect(redis.port, "127.0.0.1");
    for (const side of [socket, upstream]) {
      sockets.add(side);
      side.on("error", () => {});
    }
    socket.pipe(upstream).pipe(socket);
  });
  server.on("tlsClientError", () => {});
  await new Promise((resolve) => server.listen(0, resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server.address().port;
}

/** Whether the store trusts a server: "accepted", or the code of the error. */
async function byStore(host, port, options) {
  const url = `rediss://${host}:${port}`;
  // Ends at the first failed attempt, because a busy machine may also reach a timeout.
  const store = open({ url, tls: options, onUnavailable: "error", commandTimeout: 30_000 });
  const error = await failure(store.get("a"));
  await store.close();
  return error?.code ?? "accepted";
}

/** Whether Node trusts the server. */
function byNode(host, port, options) {
  return new Promise((resolve) => {
    const socket = tls.connect({ host, port, ...options }, () => {
      socket.destroy();
      resolve("accepted");
    });
    socket.once("error", (error) => {
      socket.destroy();
      resolve(error.code);
    });
  });
}

/** Makes a version 1 certificate, which openssl does if there are no extensions. */
function versionOne(commonName, signer) {
  const file = (name) => path.join(folder, name);
  const openssl = (...args) => {
    const { status, stderr } = spawnSync("openssl", args, { cwd: folder });
    if (status !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
  };
  writeFileSync(file("ca.pem"), signer.cert);
  writeFileSync(file("ca.key"), signer.key);
  const key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "v1.key"];
  openssl("req", "-new", ...key, "-subj", `/CN=${commonName}`, "-out", "v1.csr");
  const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7", "-days", "30"];
  openssl("x509", "-req", "-in", "v1.csr", ...by, "-out", "v1.pem");
  return { cert: readFileSync(file("v1.pem"), "utf8"), key: readFileSync(file("v1.key"), "utf8") };
}

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

const likeNode =
  "of certificates and options the store accepts and refuses what Node does, with Node's code";
// Bun's TLS has other codes for the same refusals.
(process.versions.bun ? test.skip : test)(
  likeNode,
  async () => {
    const ca = authority;
    const by = { ...EC, ca };
    const self = [NO_CA, alternative(dns("localhost"))];
    const certificates = {
      "of an authority": await issue("x", { ...by, extensions: self }),
      "of an authority, for another host": await issue("x", {
        ...by,
        extensions: [NO_CA, alternative(dns("redis.example"))],
      }),
      "of an authority, for *.example": await issue("x", {
        ...by,
        extensions: [NO_CA, alternative(dns("*.redis.example"))],
      }),
      "of an authority, for an address": await issue("x", {
        ...by,
        extensions: [NO_CA, alternative(ip("127.0.0.1"))],
      }),
      "of an authority, for an address, and in its subject for localhost": await issue(
        "localhost",
        {
          ...by,
          extensions: [NO_CA, alternative(ip("127.0.0.1"))],
        },
      ),
      "of an authority, with its name in the subject alone": await issue("localhost", {
        ...by,
        extensions: [NO_CA],
      }),
      "of an authority, with its address in the subject alone": await issue("127.0.0.1", {
        ...by,
        extensions: [NO_CA],
      }),
      "of an authority, expired": await issue("x", {
        ...by,
        extensions: self,
        notBeforeDate: inDays(-10),
        notAfterDate: inDays(-1),
      }),
      "of an authority, not valid yet": await issue("x", {
        ...by,
        extensions: self,
        notBeforeDate: inDays(2),
        notAfterDate: inDays(10),
      }),
      "self-signed": await issue("localhost", { ...EC, extensions: self }),
      "self-signed, expired": await issue("localhost", {
        ...EC,
        extensions: self,
        notBeforeDate: inDays(-10),
        notAfterDate: inDays(-1),
      }),
      "self-signed, for another host": await issue("redis.example", {
        ...EC,
        extensions: [NO_CA, alternative(dns("redis.example"))],
      }),
      "as selfsigned makes it": await issue("localhost"),
    };
    if (hasOpenssl) {
      certificates["of an authority, of version 1"] = versionOne("localhost", ca);
      certificates["of an authority, of version 1, for another host"] = versionOne("x.example", ca);
    }
    const chains = { "with its chain": (cert) => `${cert}\n${ca.cert}` };
    const options = (own) => ({
      "nothing given": {},
      "the authority given": { ca: ca.cert },
      "another authority given": { ca: environment.ca },
      "several authorities given": { ca: [environment.ca, Buffer.from(ca.cert)] },
      "the certificate itself given": { ca: own },
      "the authority and a servername given": { ca: ca.cert, servername: "redis.example" },
      "the authority and a servername below given": { ca: ca.cert, servername: "a.redis.example" },
      "rejectUnauthorized: false": { rejectUnauthorized: false },
      "TLS 1.2 alone": { ca: ca.cert, maxVersion: "TLSv1.2" },
      "TLS 1.3 alone": { ca: ca.cert, minVersion: "TLSv1.3" },
    });
    const [differences, codes] = [[], []];
    let compared = 0;
    for (const [what, { cert, key }] of Object.entries(certificates)) {
      const fronts = [["alone", await front({ cert, key })]];
      if (what === "of an authority") {
        fronts.push(["with its chain", await front({ cert: chains["with its chain"](cert), key })]);
      }
      for (const [how, port] of fronts) {
        for (const host of ["localhost", "127.0.0.1"]) {
          const comparisons = Object.entries(options(cert)).map(async ([given, tlsOptions]) => {
            const node = await byNode(host, port, tlsOptions);
            const store = await byStore(host, port, tlsOptions);
            compared += 1;
            const comparison = `${what} (${how}) at ${host}, ${given}: Node ${node}, store ${store}`;
            if ((node === "accepted") !== (store === "accepted")) differences.push(comparison);
            else if (node !== store) codes.push(comparison);
          });
          await Promise.all(comparisons);
        }
      }
    }
    expect(differences).toEqual([]);
    expect(codes).toEqual([]);
    measured("certificates and options, as Node decides", `${compared} of ${compared} alike`);
  },
  120_000,
);

test("a certificate that selfsigned makes by default is accepted if it is given as ca, and refused as self-signed otherwise", async () => {
  const { cert, key } = await issue("localhost");
  const port = await front({ cert, key });
  expect(await byStore("localhost", port, { ca: cert })).toBe("accepted");
  expect(await byStore("localhost", port, {})).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
});

test("the error for a wrong host name lists the certificate's names, and servername solves it", async () => {
  const { cert, key } = await issue("x", {
    ...EC,
    ca: authority,
    extensions: [NO_CA, alternative(dns("redis.example"))],
  });
  const port = await front({ cert, key });
  const ca = authority.cert;
  const store = open({ url: `rediss://localhost:${port}`, tls: { ca }, commandTimeout: 300 });
  const error = await failure(store.get("a"));
  expect(error.code).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
  expect(error.message).toMatch(/not for localhost but for .*redis\.example.*tls\.servername/);
  const named = open({
    url: `rediss://localhost:${port}`,
    tls: { ca, servername: "redis.example" },
  });
  expect(await named.set("a", {})).toBeNull();
});

needingTls(describe)("a redis-server that requires a certificate from its clients", () => {
  let server;
  let url;

  beforeAll(async () => {
    const port = await freePort();
    const args = tlsArgs(environment, port, { clients: "yes" });
    server = await require("../../scripts/redis-server.js").startRedisServer({ args });
    url = `rediss://localhost:${port}`;
  });

  afterAll(() => server?.stop());

  test.each(["TLSv1.2", "TLSv1.3"])("names the missing certificate in %s", async (maxVersion) => {
    const minVersion = maxVersion;
    const store = open({
      url,
      tls: { ca: environment.ca, minVersion, maxVersion },
      commandTimeout: 500,
    });
    const error = await failure(store.get("a"));
    expect(error.message).toContain(
      "wants a certificate of the client (give tls.cert and tls.key)",
    );
  });

  test("accepts a certificate of its authority, and no other", async () => {
    const store = open({ url, tls: { ca: environment.ca, ...environment.client } });
    expect(await store.set("a", {})).toBeNull();
    const other = await issue("a client", EC);
    const stranger = open({ url, tls: { ca: environment.ca, ...other }, commandTimeout: 500 });
    expect((await failure(stranger.get("a"))).message).toContain("tls.cert");
  });
});

describe("invalid options are a TypeError at construction, which never shows the key", () => {
  const secret = (pem) => pem.split("\n")[1];
  const refused = (options) => {
    const error = (() => {
      try {
        open({ url: "rediss://localhost", tls: options });
      } catch (thrown) {
        return thrown;
      }
      return undefined;
    })();
    expect(error).toBeInstanceOf(TypeError);
    expect(error.code).toBe("ERR_INVALID_ARG_VALUE");
    for (const value of [options.key, options.cert].filter(Boolean)) {
      if (secret(`${value}`)) expect(error.message).not.toContain(secret(`${value}`));
    }
    return error.message;
  };

  test("a key that does not match the certificate", async () => {
    expect(refused({ cert: environment.client.cert, key: environment.server.key })).toContain(
      "do not fit",
    );
  });

  test("text that is not PEM, and truncated PEM", () => {
    const { cert, key } = environment.client;
    expect(refused({ ca: "garbage" })).toContain("ca holds no certificate");
    expect(refused({ cert: "garbage", key })).toContain("cert holds no certificate");
    expect(refused({ cert, key: "garbage" })).toContain("key holds no private key");
    expect(refused({ cert, key: key.slice(0, 100) })).toContain("key");
    expect(refused({ cert, key: key.replace(/\n(.{20})/, "\n!!!!") })).toContain("key");
    expect(refused({ ca: environment.ca.slice(0, 200) })).toContain("ca");
    expect(refused({ ca: environment.ca.replace(/\n.{40}/, "\nAAAA") })).toContain("ca");
  });

  test("an encrypted key", () => {
    const { privateKey } = require("node:crypto").generateKeyPairSync("ec", {
      namedCurve: "P-256",
      privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    });
    expect(refused({ cert: environment.client.cert, key: privateKey })).toContain("encrypted");
  });

  test("a key without a certificate, options of another type, and unknown options", () => {
    expect(refused({ cert: environment.client.cert })).toContain("without key");
    expect(refused({ key: environment.client.key })).toContain("without cert");
    expect(refused({ ca: 7 })).toContain("tls.ca");
    expect(refused({ ca: environment.ca, passphrase: "x" })).toContain("tls.passphrase");
    expect(refused({ minVersion: "TLSv1" })).toContain("tls.minVersion");
    expect(refused({ minVersion: "TLSv1.3", maxVersion: "TLSv1.2" })).toContain("no version");
  });
});

test("minVersion TLSv1.3 refuses a server that only has TLS 1.2, and the error says so", async () => {
  const port = await front({ ...environment.server, maxVersion: "TLSv1.2" });
  const url = `rediss://localhost:${port}`;
  const { ca } = environment;
  const strict = open({ url, tls: { ca, minVersion: "TLSv1.3" }, commandTimeout: 300 });
  const error = await failure(strict.get("a"));
  expect(error.message).toMatch(/version/i);
  const lenient = open({ url, tls: { ca } });
  expect(await lenient.set("a", {})).toBeNull();
});

needingTls(test)(
  "TLS to a plain port, and plain text to a TLS port, reject in time with that reason",
  async () => {
    const ms = stopwatch();
    const toPlain = open({
      url: `rediss://localhost:${redis.port}`,
      tls: {},
      commandTimeout: 1000,
    });
    const first = await failure(toPlain.get("a"));
    expect(first.code).toBe("ERR_SSL_WRONG_VERSION_NUMBER");
    expect(first.message).toContain("does not speak TLS");
    const port = await freePort();
    await start({ args: tlsArgs(environment, port) });
    const toTls = open({ url: `redis://localhost:${port}`, commandTimeout: 1000 });
    expect((await failure(toTls.get("a"))).message).toContain("rediss://");
    const toFront = open({
      url: `redis://localhost:${await front(environment.server)}`,
      commandTimeout: 1000,
    });
    expect((await failure(toFront.get("a"))).message).toContain("rediss://");
    expect(ms()).toBeLessThan(6000);
  },
);

needingTls(describe)("authorities of the process", () => {
  /** Runs a child that connects without a ca, loses its connection and reconnects. */
  async function child(env) {
    const port = await freePort();
    const server = await start({ args: tlsArgs(environment, port) });
    return run(
      `import { RedisStore } from "connect-redis-rs";
       import { once } from "node:events";
       const store = new RedisStore({ url: process.env.URL, commandTimeout: 3000 });
       const said = await store.set("a", { n: 1 }).catch((error) => error.code);
       const isReady = store.status === "ready";
       // The parent kills the connection when it reads this output.
       const reconnecting = isReady && once(store, "reconnecting");
       console.log(said);
       if (isReady) {
         process.stdin.once("data", async () => {
           await reconnecting;
           console.log((await store.get("a")).n);
           await store.close();
           process.exit();
         });
       } else await store.close();`,
      { URL: `rediss://localhost:${port}`, ...env },
      async (stdout, started) => {
        if (stdout !== "null\n" || started.isTold) return;
        started.isTold = true;
        if (env.SSL_CERT_FILE === removable) unlinkSync(removable);
        await send(server.port, "CLIENT", "KILL", "TYPE", "normal");
        started.stdin.write("\n");
      },
    );
  }

  let removable;

  beforeAll(() => {
    removable = path.join(folder, "roots.pem");
  });

  test("NODE_EXTRA_CA_CERTS is trusted", async () => {
    const result = await child({ NODE_EXTRA_CA_CERTS: environment.files.ca });
    expect(result).toMatchObject({ code: 0, stdout: "null\n1\n", stderr: "" });
    measured("authorities of the process", "connected, and again after its connection was cut");
  });

  test("SSL_CERT_FILE is trusted, and not read again for a later connection", async () => {
    writeFileSync(removable, environment.ca);
    const result = await child({ SSL_CERT_FILE: removable, NODE_EXTRA_CA_CERTS: "" });
    expect(result).toMatchObject({ code: 0, stdout: "null\n1\n", stderr: "" });
    measured("authorities of the process", "connected again when the file was gone");
  });

  test("without both, a private authority is refused", async () => {
    const result = await child({ NODE_EXTRA_CA_CERTS: "" });
    expect(result.stdout).toBe("SELF_SIGNED_CERT_IN_CHAIN\n");
  });
});

needingTls(describe)("NODE_TLS_REJECT_UNAUTHORIZED=0", () => {
  /** Runs calls in a process with that variable; resolves to their results and the warnings. */
  async function child(made, value = "0") {
    const port = await freePort();
    await start({ args: tlsArgs(environment, port) });
    const { stdout, stderr } = await run(
      `import { RedisStore } from "connect-redis-rs";
       const at = "localhost:" + process.env.PORT;
       const url = "rediss://" + at;
       const more = { commandTimeout: 1000 };
       const said = (store) =>
         store.set("a", {}).then(
           () => "accepted, " + store.transport,
           ({ code, message }) => (/no cluster|unknown command/i.test(message) ? "accepted" : code),
         );
       ${made}
       process.exit();`,
      { PORT: `${port}`, NODE_TLS_REJECT_UNAUTHORIZED: value, NODE_EXTRA_CA_CERTS: "" },
    );
    return { said: stdout.trim().split("\n"), warnings: stderr.match(/Warning: .*/g) ?? [] };
  }
  const print = (options) => `console.log(await said(new RedisStore({ ${options}, ...more })));`;
  const WARNING = expect.stringContaining("Setting the NODE_TLS_REJECT_UNAUTHORIZED environment");

  test("is as in Node: servers need not be trusted if an app does not say so, with one warning", async () => {
    const { said, warnings } = await child(
      [
        print("url"),
        print('url: "redis://" + at, tls: true'),
        print('url, tls: { servername: "another" }'),
        print("cluster: [url]"),
        print('sentinel: { name: "m", nodes: [url] }'),
        print('sentinel: { name: "m", nodes: [at], tls: {} }'),
        print("url, tls: { rejectUnauthorized: true }"),
      ].join("\n"),
    );
    const accepted = Array(3).fill("accepted, native");
    const refused = "SELF_SIGNED_CERT_IN_CHAIN";
    expect(said).toEqual([...accepted, "accepted", "accepted", "accepted", refused]);
    expect(warnings).toEqual([WARNING]);
  });

  test("holds beside a client, of which Node has warned", async () => {
    const { said, warnings } = await child(
      `import { createClient } from "redis";
       const client = createClient({ url });
       await client.connect();
       ${print('client, transport: "native"')}`,
    );
    expect(said).toEqual(["accepted, native"]);
    expect(warnings).toEqual([WARNING]);
  });

  test("of another value, and without TLS, changes nothing", async () => {
    const { said, warnings } = await child(print("url"), "1");
    expect(said).toEqual(["SELF_SIGNED_CERT_IN_CHAIN"]);
    expect(warnings).toEqual([]);
    const plain = await child(print(`url: "${redis.url}"`));
    expect(plain).toEqual({ said: ["accepted, native"], warnings: [] });
  });
});

needingTls(test)(
  "a connection with TLS that is cut is made again, and the call sent once more",
  async () => {
    const port = await freePort();
    const server = await start({ args: tlsArgs(environment, port) });
    const store = open({ url: `rediss://localhost:${port}`, tls: { ca: environment.ca } });
    await store.set("a", { n: 1 });
    for (let n = 0; n < 20; n += 1) {
      const calls = Array.from({ length: 50 }, (_, m) => store.set(`s${m}`, { n }));
      await send(server.port, "CLIENT", "KILL", "TYPE", "normal");
      await Promise.all(calls);
    }
    await waitUntil("it is ready again", () => store.status === "ready");
    expect(await store.get("s7")).toEqual({ n: 19 });
    measured("a connection with TLS is cut", "20 times: 1,000 of 1,000 calls answered");
  },
);
