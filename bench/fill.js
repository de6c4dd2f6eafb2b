"use strict";

// Puts many sessions into Redis, with no store.

const net = require("node:net");
const { MAX_AGE_MS, makeSession, sidOf } = require("./sessions.js");

const BATCH = 1000;

/**
 * Stores `count` sessions of 600 bytes under a prefix, none of them equal to another.
 * @returns {Promise<void>} when Redis has them all
 */
function fillRedis(port, prefix, count) {
  const [head, tail] = JSON.stringify(makeSession(600)).split('"views":42');
  const word = (text) => `$${text.length}\r\n${text}\r\n`; // all of it is ASCII
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
      // Its answer is the only one, and comes when all before is done.
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
      else reject(new Error(`Redis could not be filled: ${reply}`));
    });
  });
}

module.exports = { fillRedis };
