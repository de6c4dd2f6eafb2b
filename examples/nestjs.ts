// A NestJS app with node-redis.
// npm install @nestjs/common @nestjs/core @nestjs/platform-express reflect-metadata rxjs
//             express-session redis connect-redis-rs
import "reflect-metadata";
import { Controller, Get, Module, Session } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { RedisStore } from "connect-redis-rs";
import session from "express-session";
import { createClient } from "redis";

@Controller()
class ViewsController {
  @Get()
  count(@Session() visitor: { views?: number }) {
    visitor.views = (visitor.views ?? 0) + 1;
    return { views: visitor.views };
  }
}

@Module({ controllers: [ViewsController] })
class AppModule {}

const client = createClient({ url: process.env.REDIS_URL ?? "redis://localhost:6379" });
client.on("error", (error: Error) => console.error(`Redis: ${error.message}`));

async function main() {
  await client.connect();
  const app = await NestFactory.create(AppModule, { logger: ["error", "warn"] });
  app.use(
    session({
      store: new RedisStore({ client, prefix: "example:" }),
      secret: process.env.SESSION_SECRET ?? "change me",
      resave: false,
      saveUninitialized: false,
      cookie: { maxAge: 30 * 60 * 1000 },
    }),
  );
  await app.listen(process.env.PORT ?? 3000);
  console.log(await app.getUrl());
  process.once("SIGTERM", () => app.close().then(() => client.close()));
}

main();
