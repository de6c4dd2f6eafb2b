"use strict";

// Writes many sessions into Redis without a store.

const net = require("node:net");
const { MAX_AGE_MS, makeSession, sidOf } = require("./sessions.js");

const BATCH = 1000;

/**
 * Stores `count` different sessions of 600 bytes under a prefix.
 * @returns {Promise<void>} when Redis has them all
 */
function fillRedis(port, prefix, count) {
  const [head, tail] = JSON.stringify(makeSession(600)).split('"views":42');
  const word = (text) => `$${text.length}\r\n${text}\r\n`; // the text is ASCII: its length is its bytes
  const lifetime = word("PX") + word(`${MAX_AGE_MS}`);
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    let made = 0;
    const write = () => {
      while (made < count) {
        let batch = "";
        for (const end = Math.min(count, made + BATCH); made < end; made += 1) {
          const key = word(`${prefix}${sidOf(made)}`);
          batch += `*5\r\n$3\r\nSET\r\n${key}${word(`${head}"views":${made}${tail}`)}${lifetime}`;
        }
        if (!socket.write(batch, "latin1") && made < count) {
          socket.once("drain", write);
          return;
        }
      }
      // The only reply, which comes when all commands before are done.
      socket.write("CLIENT REPLY ON\r\n");
    };
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.write("CLIENT REPLY OFF\r\n");
      write();
    });
    socket.once("data", (reply) => {
      socket.destroy();
      if (reply.toString().startsWith("+OK")) resolve();
      else reject(new Error(`Redis cannot be filled with sessions: ${reply}`));
    });
  });
}

module.exports = { fillRedis };
