// An Express app with Redis Sentinel.   npm install express express-session ioredis connect-redis-rs
// With node-redis: `client = createSentinel({ name, sentinelRootNodes })`, then `await client.connect()`.
import { RedisStore } from "connect-redis-rs";
import express from "express";
import session from "express-session";
import { Redis } from "ioredis";

const sentinels = (process.env.REDIS_SENTINELS ?? "localhost:26379").split(",").map((at) => {
  const [host, port] = at.split(":");
  return { host, port: Number(port) };
});
const client = new Redis({ name: process.env.REDIS_MASTER ?? "mymaster", sentinels });
client.on("error", (error) => console.error(`Redis: ${error.message}`));

const app = express();
app.use(
  session({
    store: new RedisStore({ client, prefix: "example:" }),
    secret: process.env.SESSION_SECRET ?? "change me",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 30 * 60 * 1000 },
  }),
);
app.get("/", (req, res) => {
  req.session.views = (req.session.views ?? 0) + 1;
  res.json({ views: req.session.views });
});

const server = app.listen(process.env.PORT ?? 3000, () => {
  console.log(`http://localhost:${server.address().port}`);
});
process.once("SIGTERM", () => server.close(() => client.quit()));
