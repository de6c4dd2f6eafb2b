// An Express app in TypeScript, without a client: the store connects by itself.
// npm install express express-session connect-redis-rs @types/express @types/express-session
import type { AddressInfo } from "node:net";
import { RedisStore } from "connect-redis-rs";
import express from "express";
import session from "express-session";

declare module "express-session" {
  interface SessionData {
    views: number;
  }
}

const store = new RedisStore({
  url: process.env.REDIS_URL ?? "redis://localhost:6379",
  prefix: "example:",
});
store.on("discarded", () =>
  console.warn("a session was saved after its logout, and stays logged out"),
);

const app = express();
app.use(
  session({
    store,
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

const server = app.listen(Number(process.env.PORT ?? 3000), () => {
  console.log(`http://localhost:${(server.address() as AddressInfo).port}`);
});
process.once("SIGTERM", () => server.close(() => store.close()));
