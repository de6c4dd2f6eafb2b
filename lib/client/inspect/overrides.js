"use strict";

// Which methods of a client are the library's own.

const { isProxy } = require("node:util").types;
const { wrappedMethod } = require("../tracers.js");

/**
 * Says which method of a client is not its library's own, so that to go past it could skip what an
 * app does there. A library defines all its commands in one place: whatever comes from elsewhere
 * than `dump`, which nobody overrides, is overridden.
 * @param {import("../../types.js").AnyClient} client
 */
function touchedMethod(client) {
  if (isProxy(client)) return "it is a Proxy";
  /** @type {[string, string[]][]} */
  const alike = [
    ["dump", ["get", "set", "expire", "del"]],
    ["duplicate", ["sendCommand"]],
  ];
  for (const [model, names] of alike) {
    const home = homeOf(client, model);
    for (const name of names) {
      const method = client[name];
      if (typeof method !== "function" || homeOf(client, name) !== home) {
        return `its method ${name} is overridden`;
      }
      // A library makes all its commands from one text.
      if (model === "dump" && String(method) !== String(client[model])) {
        return `its method ${name} is replaced`;
      }
    }
  }
  const wrapped = wrappedMethod(client);
  if (wrapped) return `its method ${wrapped} is wrapped`;
  // What every sendCommand of the libraries has in it; a tracer's has not.
  const text = String(client.sendCommand);
  const isOwn = OWN_TEXT.test(text) && !REWRITTEN.test(text);
  return isOwn ? undefined : "its method sendCommand is replaced";
}

/** What instrumentation writes into the code of a library when it is loaded (New Relic, dd-trace). */
const REWRITTEN = /orchestrion|tr_ch_apm/;

const OWN_TEXT =
  /VALID_IN_SUBSCRIBER_MODE|scaleReads|disableOfflineQueue|_commandOptions|_RedisClient_sendCommand|_RedisCluster_execute/;

/**
 * The object on the prototype chain that has a property.
 * @param {any} object
 * @param {string} name
 */
function homeOf(object, name) {
  let home = object;
  while (home && !Object.hasOwn(home, name)) home = Object.getPrototypeOf(home);
  return home;
}

module.exports = { homeOf, touchedMethod };
