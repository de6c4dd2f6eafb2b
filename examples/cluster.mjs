// An Express app on a Redis Cluster.   npm install express express-session redis connect-redis-rs
// With ioredis: `client = new Cluster(nodes)`.
import { RedisStore } from "connect-redis-rs";
import express from "express";
import session from "express-session";
import { createCluster } from "redis";

// Some of the cluster's nodes; the client finds the others through them.
const nodes = (process.env.REDIS_NODES ?? "redis://localhost:7000,redis://localhost:7001").split(
  ",",
);
const client = createCluster({ rootNodes: nodes.map((url) => ({ url })) });
client.on("error", (error) => console.error(`Redis: ${error.message}`));
await client.connect();

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
process.once("SIGTERM", () => server.close(() => client.close()));
