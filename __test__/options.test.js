"use strict";

// How options work together: the server, precedence, and options without effect.

const { RedisStore } = require("..");
const { createClient } = require("redis");
const { send } = require("../scripts/redis-server.js");
const { failure } = require("./support/calls.js");
const { fake, open, start } = require("./support/faults.js");

const LINK = "https://github.com/connect-redis-rs/connect-redis-rs/blob/main/docs/options.md";

/** Returns the error that the options throw. */
function refusal(options) {
  try {
    open(options);
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Returns the warnings while stores are made. */
function warningsOf(...lists) {
  const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
  try {
    for (const options of lists) open(options);
    return warn.mock.calls.map(([message, { code }]) => {
      expect(code).toBe("CONNECT_REDIS_RS_OPTION");
      return message;
    });
  } finally {
    warn.mockRestore();
  }
}

const client = () => createClient({ url: "redis://127.0.0.1:1" });

describe("without url, cluster, sentinel or client", () => {
  test.each([
    [{ host: "10.0.0.1" }, 'Write url: "redis://10.0.0.1:6379", or'],
    [{ host: "10.0.0.1", port: 6380 }, 'Write url: "redis://10.0.0.1:6380", or'],
    [{ host: "redis", port: "6380", db: 2 }, 'Write url: "redis://redis:6380/2", or'],
    [{ port: 6380 }, 'Write url: "redis://localhost:6380", or'],
    [{ host: "::1" }, 'Write url: "redis://[::1]:6379", or'],
    [{ host: "redis://:secret@h", port: "secret!" }, 'Write url: "redis://host:port", or'],
    [{ host: "h", pass: "secret" }, 'url: "redis://h:6379", with password beside it'],
    [{ host: "h", auth_pass: "secret" }, 'url: "redis://h:6379", with password beside it'],
    [
      { host: "h", username: "ada", password: "secret" },
      'url: "redis://h:6379", with username and password beside it',
    ],
    [{ host: "h", tls: {} }, 'url: "rediss://h:6379"'],
    [{ pass: "secret" }, 'url: "redis://localhost:6379", with password beside it'],
    [{ db: 3 }, 'Write url: "redis://localhost:6379/3", or'],
    [{ db: 0 }, 'Write url: "redis://localhost:6379", or'],
    [{ socket: "/tmp/redis.sock", db: 1 }, 'Write url: "unix:///tmp/redis.sock?db=1", or'],
    [{ socket: "redis://:secret@h" }, "Write url in place of socket, or"],
    [{ path: "/tmp/a b" }, 'Write url: "unix:///tmp/a%20b", or'],
    [{ socket: { host: "h", port: 1, tls: true } }, 'Write url: "rediss://h:1", or'],
    [{ socket: { path: "/tmp/x" } }, 'Write url: "unix:///tmp/x", or'],
    [{ url: null, client: undefined, host: "h" }, "client is undefined"],
    [{ url: undefined, host: "h" }, 'Write url: "redis://h:6379", or'],
    [{ password: "secret" }, 'Write url: "redis://localhost:6379" beside it'],
    [{ password: () => "secret" }, 'Write url: "redis://localhost:6379" beside it'],
    [{ url: undefined, username: "ada", password: "secret" }, "username and password say how"],
    [{ tls: true }, 'Write url: "rediss://localhost:6379" beside it'],
    [{ tls: {} }, 'Write url: "rediss://localhost:6379" beside it'],
    [{ ssl: true }, "unknown option ssl (did you mean tls?)"],
    [{ uri: "redis://:secret@h" }, "unknown option uri (did you mean url?)"],
    [{ clinet: {} }, "unknown option clinet (did you mean client?)"],
    [{ redisClient: {} }, "unknown option redisClient (did you mean client?)"],
    [{ rootNodes: [] }, "unknown option rootNodes (did you mean cluster?)"],
    [Object.create({ host: "h" }), 'Write url: "redis://h:6379", or'],
  ])(
    "options that mean a server are refused, and the error says what to write: %j",
    (options, said) => {
      const error = refusal(options);
      expect(error).toBeInstanceOf(TypeError);
      expect(error.code).toBe("ERR_INVALID_ARG_VALUE");
      expect(error.message).toContain(said);
      expect(error.message).not.toContain("secret");
    },
  );

  test.each([
    [{}],
    [{ database: 2 }],
    [{ host: undefined, port: null, pass: undefined }],
    [{ username: "", password: "", tls: false }],
    [{ username: null, password: undefined }],
    [{ silent: true, noisy: console.error }],
  ])("options that mean no server use localhost: %j", (options) => {
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    expect(refusal(options)).toBeUndefined();
    warn.mockRestore();
  });

  test("the url that the error says to write is accepted", () => {
    for (const url of ["redis://[::1]:6379/2", "unix:///tmp/a%20b?db=1", "rediss://h:1"]) {
      expect(refusal({ url })).toBeUndefined();
    }
  });
});

describe("a client and another option for the server", () => {
  test("the client is used, whatever the other options are, and one warning names them", async () => {
    const server = await start();
    const six = createClient({ url: server.url });
    await six.connect();
    try {
      const options = {
        client: six,
        url: "nonsense with a secret",
        cluster: "nonsense",
        sentinel: { nam: 5 },
        tls: { nonsense: true },
        username: 5,
        password: ["secret"],
        database: "nonsense",
        host: "h",
        prefix: "mine:",
      };
      let store;
      const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
      try {
        store = open(options);
        open(options);
      } finally {
        expect(warn.mock.calls).toEqual([
          [
            `RedisStore: the options url, cluster, sentinel, username, password, tls, database and host do nothing beside a client, which says where Redis is: see ${LINK}`.replace(
              "the options",
              "options",
            ),
            { code: "CONNECT_REDIS_RS_OPTION" },
          ],
        ]);
        warn.mockRestore();
      }
      await store.set("a", { n: 1 });
      expect(await six.get("mine:a")).toBe('{"n":1}');
    } finally {
      six.destroy();
    }
  });

  test.each([
    [{ url: null }],
    [{ url: undefined, cluster: undefined, sentinel: null, password: undefined }],
  ])("empty options are not warned about: %j", (options) => {
    expect(warningsOf({ client: client(), ...options })).toEqual([]);
  });

  test.each([[undefined], [null]])("client: %p beside a url uses the url", async (none) => {
    const server = await start();
    const store = open({ client: none, url: server.url });
    expect(await store.set("a", {})).toBeNull();
  });

  test("url, cluster and sentinel together are still refused without a client", () => {
    expect(refusal({ url: "redis://a", cluster: ["redis://b"] }).message).toContain("give one of");
  });
});

describe("an unknown option", () => {
  test("gets one short warning, with the option that was meant and a link", () => {
    const url = "redis://127.0.0.1:1";
    expect(warningsOf({ url, tll: 5 }, { url, tll: 5 }, { url, tll: 5, logErrors: true })).toEqual([
      `RedisStore: unknown option tll (did you mean ttl?) does nothing: see ${LINK}`,
      `RedisStore: unknown option logErrors does nothing: see ${LINK}`,
    ]);
    expect(warningsOf({ url, perfix: "a", socket: 5, ttl: 1, tlt: 2 })).toEqual([
      `RedisStore: unknown options perfix (did you mean prefix?), socket, tlt do nothing: see ${LINK}`,
    ]);
  });
});

describe("a url", () => {
  /** Records the words of each command of a login. */
  async function told(make) {
    const commands = [];
    const url = await fake((socket) => {
      socket.on("data", (data) => {
        for (const words of commandsIn(data.toString())) {
          commands.push(words);
          const isHello = words[0] === "HELLO";
          socket.write(
            isHello ? "%1\r\n+proto\r\n:3\r\n" : words[0] === "GET" ? "_\r\n" : "+OK\r\n",
          );
        }
      });
    });
    const store = open(make(url));
    await store.get("a");
    await store.close();
    const hello = commands.find(([name]) => name === "HELLO");
    const [, username, password] = hello.slice(2);
    const database = commands.find(([name]) => name === "SELECT")?.[1];
    return { username, password, database };
  }

  /** The commands of a pipeline. */
  function commandsIn(text) {
    const commands = [];
    let rest = Buffer.from(text);
    const line = () => {
      const end = rest.indexOf("\r\n");
      const read = rest.subarray(1, end).toString();
      rest = rest.subarray(end + 2);
      return Number(read);
    };
    while (rest.length > 0) {
      const words = Array.from({ length: line() }, () => {
        const length = line();
        const word = rest.subarray(0, length).toString();
        rest = rest.subarray(length + 2);
        return word;
      });
      commands.push(words);
    }
    return commands;
  }

  /** How node-redis reads a url; its versions agree. */
  function byNodeRedis(url) {
    const read = ["redis", "redis-4", "redis-5"].map((name) => {
      const { username, password, database } = require(name).createClient({ url }).options;
      return { username, password, database };
    });
    for (const one of read) expect(one).toEqual(read[0]);
    const { username, password, database } = read[0];
    const isAnyone = username !== undefined || password !== undefined;
    return {
      username: isAnyone ? (username ?? "default") : undefined,
      password: isAnyone ? (password ?? "") : undefined,
      database: database ? `${database}` : undefined,
    };
  }

  test.each([
    "redis://HOST",
    "redis://HOST/",
    "redis://HOST/0",
    "redis://HOST/3",
    "redis://HOST/03",
    "REDIS://HOST/3",
    "  redis://HOST/3\n",
    "\tredis://HO\nST/3 ",
    "redis://HOST/3#x",
    "redis://:pw@HOST",
    "redis://ada@HOST",
    "redis://ada:@HOST",
    "redis://:@HOST",
    "redis://@HOST",
    "redis://ada:pw@HOST/2",
    "redis://ada:p@w@HOST",
    "redis://ada:p:w@HOST",
    "redis://a%20d%C3%A4:%40%2F%3A%3F%23%25%5E@HOST",
    "redis://ada:a+b^c|d@HOST",
    "redis://äda:ö@HOST",
  ])("%j is read as node-redis reads it", async (form) => {
    const read = await told((url) => {
      const given = form.replace("HO\nST", "HOST").includes("HOST")
        ? form.replace(/HO\n?ST/, new URL(url).host)
        : form;
      return { url: given };
    });
    expect(read).toEqual(byNodeRedis(form.replace(/HO\n?ST/, "127.0.0.1:1")));
  });

  test.each([
    "redis://ada:secret%@h",
    "redis://ada:secret%zz@h",
    "redis://ada:secret%ff@h",
    "redis://h/secret",
    "redis://h/2/",
    "redis://h:secret",
    "redis://h:99999",
    "redis://ada:secret@",
    "redis://:6379",
    "redis://ada:secret@h h",
    "http://ada:secret@h",
    "h:6379",
    "",
  ])("%j is refused, as by node-redis, without its password", (url) => {
    expect(() => require("redis").createClient({ url: url || " " })).toThrow();
    const error = refusal({ url });
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(/^RedisStore: the option url cannot be used: /);
    expect(error.message).not.toContain("secret");
  });

  test.each([
    ["?db=2", { database: "2" }],
    ["/1?db=2", { database: "1" }],
    ["?username=ada&password=p%26w", { username: "ada", password: "p&w" }],
    ["?password=pw", { username: "default", password: "pw" }],
    ["?family=4&db=2", { database: "2" }],
    ["?family=0", {}],
    ["?allowUsernameInURI=true&lazyConnect=true", {}],
  ])("the parameters %s are read as ioredis reads them", async (parameters, expected) => {
    const read = await told((url) => ({ url: url + parameters }));
    expect(read).toEqual({
      username: undefined,
      password: undefined,
      database: undefined,
      ...expected,
    });
  });

  test("an option takes precedence over a parameter", async () => {
    const read = await told((url) => ({ url: `${url}?db=2&password=one`, password: "two" }));
    expect(read).toMatchObject({ database: "2", password: "two" });
  });

  test("its commandTimeout and connectTimeout are the store's", async () => {
    const url = await fake(() => {});
    const store = open({ url: `${url}?commandTimeout=60&connectTimeout=20` });
    const error = await failure(store.get("a"));
    expect(error.message).toContain("within 60 ms (commandTimeout)");
    expect(error.message).toContain("within 20 ms (connectTimeout)");
    const own = open({ url: `${url}?commandTimeout=60000&connectTimeout=20`, commandTimeout: 50 });
    expect((await failure(own.get("a"))).message).toContain("within 50 ms (commandTimeout)");
  });

  test("an address family that the host does not have rejects with that reason", async () => {
    const store = open({ url: "redis://127.0.0.1:1?family=6", commandTimeout: 100 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ENOTFOUND");
    expect(error.message).toContain("no address of the family");
  });

  test.each([
    ["ssl_cert_reqs", "redis://h?ssl_cert_reqs=secret"],
    ["tls", "redis://h?tls=secret"],
    ["keyPrefix", "redis://h?keyPrefix=secret"],
    ["maxRetriesPerRequest", "redis://h?maxRetriesPerRequest=secret"],
    ["db", "redis://h?db=secret"],
    ["db", "redis://h?db=-1"],
    ["family", "redis://h?family=secret"],
    ["connectTimeout", "redis://h?connectTimeout=secret"],
    ["cipher", "unix:///tmp/x?pass=secret&cipher=secret"],
  ])("a parameter %s without effect is named, and its value is not shown: %s", (name, url) => {
    const error = refusal({ url });
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(name);
    expect(error.message).not.toContain("secret");
  });

  test("in cluster and sentinel.nodes is read in the same way", async () => {
    const server = await start({ args: ["--requirepass", "sesame"] });
    const at = `127.0.0.1:${server.port}`;
    for (const url of [` redis://:sesame@${at}\n`, `redis://${at}?password=sesame&family=4`]) {
      const store = open({ cluster: [url], commandTimeout: 200 });
      // The login has succeeded.
      expect((await failure(store.get("a"))).message).toContain("it is no cluster");
      const sentinel = { name: "m", nodes: [url] };
      const other = open({ sentinel, commandTimeout: 200 });
      expect((await failure(other.get("a"))).message).toMatch(/unknown command/i);
    }
    const blank = open({ cluster: [` ${at} `], password: "sesame", commandTimeout: 200 });
    expect((await failure(blank.get("a"))).message).toContain("it is no cluster");
    for (const options of [
      { cluster: ["redis://h?connectTimeout=5"] },
      { cluster: ["redis://h?db=2"] },
      { cluster: ["redis://h?nonsense=5"] },
      { sentinel: { name: "m", nodes: ["redis://h/2"] } },
      { sentinel: { name: "m", nodes: ["redis://h?commandTimeout=5"] } },
    ]) {
      expect(refusal(options)).toBeInstanceOf(TypeError);
    }
  });
});

describe("a user", () => {
  test("without a password logs in as that user; without a user, nothing changes", async () => {
    const server = await start({ args: "--user ada on nopass ~* &* +@all".split(" ") });
    const at = `127.0.0.1:${server.port}`;
    const who = async (url) => {
      const store = open({ url });
      await store.set("a", {});
      const list = await send(server.port, "CLIENT", "LIST");
      await store.close();
      return list
        .split("\n")
        .find((line) => line.includes("cmd=set"))
        .match(/user=(\S+)/)[1];
    };
    expect(await who(`redis://ada@${at}`)).toBe("ada");
    expect(await who(`redis://nobody@${at}`)).toBe("default");
  });

  test("and a password that are empty count as none", async () => {
    const server = await start();
    const store = open({ url: server.url, username: "", password: "", commandTimeout: 1000 });
    expect(await store.set("a", {})).toBeNull();
  });
});

test.each([
  [{ db: 3 }, "database"],
  [{ db: "3" }, "database"],
  [{ pass: "secret" }, "password"],
  [{ auth_pass: "secret" }, "password"],
])("%j beside a url is refused, as another database or login was meant", (old, name) => {
  for (const server of [{ url: "redis://127.0.0.1:1" }, { cluster: ["127.0.0.1:1"] }]) {
    let thrown;
    try {
      new RedisStore({ ...server, ...old });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ name: "TypeError", code: "ERR_INVALID_ARG_VALUE" });
    expect(thrown.message).toContain(name);
    expect(thrown.message).not.toContain("secret");
  }
});

test.each(["hostname", "server", "connectionString", "REDIS_URL", "clusterNodes", "servers"])(
  "%s without another option for the server never uses localhost silently",
  (name) => {
    expect(() => new RedisStore({ [name]: "redis.example" })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARG_VALUE" }),
    );
  },
);
