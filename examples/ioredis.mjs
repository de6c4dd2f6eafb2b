// An Express app with ioredis.   npm install express express-session ioredis connect-redis-rs
import { RedisStore } from "connect-redis-rs";
import express from "express";
import session from "express-session";
import { Redis } from "ioredis";

// The store uses keyPrefix: the keys are example:sess:…
const client = new Redis(process.env.REDIS_URL ?? "redis://localhost:6379", {
  keyPrefix: "example:",
});
client.on("error", (error) => console.error(`Redis: ${error.message}`));

const app = express();
app.use(
  session({
    store: new RedisStore({ client }),
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
