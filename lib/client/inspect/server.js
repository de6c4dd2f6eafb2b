"use strict";

// A server as a client's options describe it, checked.

/**
 * Returns a server, if all its parts have the type that they must have.
 * @param {import("../inspect.js").Server} where
 * @param {() => Promise<any>} credentials
 * @returns {Pick<import("../inspect.js").Inspected, "why" | "at" | "peer" | "server">}
 */
function wholeServer(where, credentials) {
  const at = addressOf(where);
  const isWhole = at !== undefined && Number.isInteger(where.database ?? 0);
  if (!isWhole) return { why: "its options do not say which server it talks to" };
  if (where.path !== undefined && process.platform === "win32") {
    return { why: "it talks through a pipe of Windows" };
  }
  return {
    at,
    peer: peerOf(where),
    async server() {
      const { username, password } = (await credentials()) ?? {};
      for (const value of [username, password]) {
        if (value !== undefined && value !== null && typeof value !== "string") {
          throw new TypeError("its username and password are no strings");
        }
      }
      const login = { username: username || undefined, password: password || undefined };
      return { ...where, ...login };
    },
  };
}

/**
 * What messages call a server; undefined if it is none.
 * @param {import("../inspect.js").Server} where
 */
function addressOf({ host, port, path, cluster, sentinel }) {
  if (cluster) return `a cluster of ${cluster.length} known nodes`;
  if (sentinel) return `the master ${JSON.stringify(sentinel.name)} of its sentinels`;
  if (path !== undefined) return typeof path === "string" ? path : undefined;
  return typeof host === "string" && isPort(port) ? `${host}:${port}` : undefined;
}

/**
 * Which server it is, for those who watch the calls; of a cluster the first node. Undefined for a master
 * that only its sentinels know.
 * @param {import("../inspect.js").Server} where
 */
function peerOf({ host, port, path, database = 0, cluster, sentinel }) {
  if (sentinel) return undefined;
  if (cluster) return /** @type {import("../inspect.js").Inspected["peer"]} */ (cluster[0]);
  return { host: /** @type {string} */ (path ?? host), port, database };
}

/** @param {any} port */
function isPort(port) {
  return Number.isInteger(port) && port > 0 && port < 65536;
}

/**
 * An object with some of the properties of another.
 * @param {Record<string, any>} from
 * @param {string[]} names
 * @param {string[]} [except]
 */
function pick(from, names, except = []) {
  const picked = names.filter((name) => from[name] !== undefined && !except.includes(name));
  return Object.fromEntries(picked.map((name) => [name, from[name]]));
}

module.exports = { pick, wholeServer };
