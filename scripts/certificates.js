"use strict";

// Certificates for servers with TLS, for the tests and the benchmark.

const selfsigned = require("selfsigned");
const { mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");

const named = (name) => [{ name: "commonName", value: name }];
const forHost = (...names) => ({
  name: "subjectAltName",
  altNames: names.map((value) => ({ type: 2, value })),
});

/**
 * Makes an authority, and its certificates for a server at `host` and for a client.
 * @returns {Promise<{ca: string, server: {cert: string, key: string}, client: {cert: string,
 *   key: string}, files: {ca: string, cert: string, key: string}, remove: () => void}>} in PEM;
 *   `files` are those for the server
 */
async function makeCertificates({ host = "localhost" } = {}) {
  const how = { keyType: "ec", algorithm: "sha256" };
  const authority = await selfsigned.generate(named("an authority"), {
    ...how,
    extensions: [{ name: "basicConstraints", cA: true, critical: true }],
  });
  const issued = async (name) => {
    const { cert, private: key } = await selfsigned.generate(named(name), {
      ...how,
      ca: { key: authority.private, cert: authority.cert },
      extensions: [{ name: "basicConstraints", cA: false }, forHost(name)],
    });
    return { cert, key };
  };
  const server = await issued(host);
  const client = await issued("a client");
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-tls-"));
  const files = {};
  for (const [name, pem] of Object.entries({ ca: authority.cert, ...server })) {
    files[name] = path.join(folder, `${name}.pem`);
    writeFileSync(files[name], pem);
  }
  const remove = () => rmSync(folder, { recursive: true, force: true });
  return { ca: authority.cert, server, client, files, remove };
}

/** Arguments for a redis-server with TLS at a port; `clients` says whether clients must send a certificate. */
function tlsArgs({ files }, tlsPort, { clients = "no" } = {}) {
  const options = {
    "tls-port": tlsPort,
    "tls-cert-file": files.cert,
    "tls-key-file": files.key,
    "tls-ca-cert-file": files.ca,
    "tls-auth-clients": clients,
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
}

module.exports = { makeCertificates, tlsArgs };
