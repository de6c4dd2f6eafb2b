"use strict";

// Apps with express-session, each in a process of its own, in which users are signed in.

const path = require("node:path");
const { startProcess } = require("./processes.js");

const SESSIONS = 1000;
const APP = path.join(__dirname, "app-process.js");

/**
 * Starts a server and logs in once for each session.
 * @param {string} name the peer whose store it uses
 * @param {"http" | "express"} framework
 * @param {object} where as `openPeer` takes it
 * @returns {Promise<{app: ReturnType<typeof startProcess>, port: number, cookies: string[]}>}
 */
async function openApp(name, framework, where) {
  const app = startProcess(APP);
  try {
    const port = await app.call("listen", name, framework, where);
    const cookies = [];
    for (let n = 0; n < SESSIONS; n += 1) {
      const response = await fetch(`http://127.0.0.1:${port}/login`);
      await response.arrayBuffer();
      const [cookie] = response.headers.get("set-cookie")?.split(";") ?? [];
      if (!response.ok || !cookie) throw new Error(`a login got the status ${response.status}`);
      cookies.push(cookie);
    }
    return { app, port, cookies };
  } catch (error) {
    await app.stop();
    throw error;
  }
}

/**
 * Makes requests, and measures what each costs the app.
 * @template {{requests: number}} Load
 * @param {ReturnType<typeof startProcess>} app
 * @param {() => Promise<Load>} load
 * @returns {Promise<Omit<Load, "requests"> & {jsCpu: number, cpu: number}>} CPU in microseconds a
 *   request, of the JS thread and of the process
 */
async function costOf(app, load) {
  const before = await app.call("cpu");
  const { requests, ...figures } = await load();
  const after = await app.call("cpu");
  const each = (what) => (after[what] - before[what]) / 1000 / requests;
  return { ...figures, jsCpu: each("thread"), cpu: each("process") };
}

module.exports = { costOf, openApp };
