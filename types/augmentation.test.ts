// What an app declares of its sessions is known wherever the store takes or gives one.
import {
  type AsJson,
  RedisStore,
  type StoredData,
  type StoredSession,
  type UserSession,
} from "connect-redis-rs";
import type { SessionData } from "express-session";

declare module "express-session" {
  interface SessionData {
    views?: number;
  }
}

type Is<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <_ extends true>() => {};

const store = new RedisStore({
  ttl: (sess) => sess.views ?? 60,
  serializer: { parse: JSON.parse, stringify: (sess) => `${sess.views}` },
});

export async function use(): Promise<void> {
  const got = await store.get("sid");
  is<Is<typeof got, StoredData | null>>();
  const views: number | undefined = got?.views;
  // @ts-expect-error: it may be null
  got.views;
  // @ts-expect-error: nobody has declared it
  got?.view;
  // @ts-expect-error: it is a session
  const text: string = await store.get("sid");
  const [first, second] = await Promise.all([store.get("a"), store.get("b")]);
  is<Is<typeof first | typeof second, StoredData | null>>();
  const found = (await store.get("sid")) ?? { cookie: { originalMaxAge: null }, views: 0 };
  found.views = 5;

  const all = await store.all();
  is<Is<typeof all, StoredSession[]>>();
  const sum = all.reduce((sum, sess) => sum + (sess.views ?? 0), 0);
  const id: string | undefined = all[0]?.id;
  // @ts-expect-error: nobody has declared it
  all[0]?.view;
  const listing: Awaited<ReturnType<RedisStore["all"]>> = all;
  console.log(listing.map((sess) => [sess.id, sess.views]));

  // What is stored is JSON: a date is a string there.
  const expires: string | null | undefined = got?.cookie.expires;
  const listed: string | null | undefined = all[0]?.cookie.expires;
  // @ts-expect-error: not a Date
  got?.cookie.expires?.getTime();
  interface Login extends SessionData {
    login: { at: Date; before: (Date | null)[]; user?: { name: string } };
  }
  const stored = {} as StoredData<Login>;
  const at: string = stored.login.at;
  const before: (string | null)[] = stored.login.before;
  const user: { name: string } | undefined = stored.login.user;
  // @ts-expect-error: not a Date either
  stored.login.at.getTime();
  is<Is<AsJson<any>, any>>();
  is<Is<AsJson<unknown>, unknown>>();
  is<Is<AsJson<"a" | Date | null | undefined>, "a" | string | null | undefined>>();
  is<Is<AsJson<string & { brand: 1 }>, string & { brand: 1 }>>();
  is<Is<AsJson<[Date, number?]>, [string, number?]>>();
  is<Is<AsJson<readonly Date[]>, readonly string[]>>();
  is<Is<AsJson<{ list: Date[]; open?: unknown }>, { list: string[]; open?: unknown }>>();
  is<Is<AsJson<Record<string, Date>>, Record<string, string>>>();
  is<Is<AsJson<{ toJSON(): { seconds: number } }>, { seconds: number }>>();
  /** A type that holds itself. */
  interface Tree {
    planted: Date;
    branches: Tree[];
  }
  const tree = {} as AsJson<Tree>;
  const planted: string | undefined = tree.branches[0]?.branches[0]?.planted;
  // An app that declares nothing may put anything in.
  const open = {} as StoredData<{ cookie: SessionData["cookie"]; [name: string]: any }>;
  const anything: number = open.whatever.it.is;
  console.log(at, before, user, planted, anything, open.cookie.expires?.slice());
  if (got) await store.set("copy", got);
  if (got) await store.touch("sid", got);
  console.log(expires, listed);

  is<Is<Awaited<ReturnType<RedisStore["length"]>>, number>>();
  is<Is<Awaited<ReturnType<RedisStore["ids"]>>, string[]>>();

  // What one part of an app knows of its sessions.
  interface Mine extends SessionData {
    user: { name: string };
  }
  const mine = await store.get<Mine | null>("sid");
  const name: string | undefined = mine?.user.name;
  const names: string[] = (await store.all<Mine>()).map((sess) => sess.id + sess.user.name);

  store.get("sid", (_error, sess: SessionData | null) => sess?.views);
  store.length((_error, count) => count.toFixed());
  store.ids((_error, ids) => ids.map((sid) => sid.length));

  // What an update changes is what is stored.
  const isThere: boolean = await store.update("sid", (sess) => {
    is<Is<typeof sess, StoredData>>();
    sess.views = (sess.views ?? 0) + 1;
  });
  await store.update<Mine>("sid", async (sess) => {
    sess.user.name = sess.user.name.trim();
  });
  // @ts-expect-error: a session is changed in place, and not returned
  await store.update("sid", (sess) => ({ ...sess, views: 1 }));
  await store.update("sid", (sess) => {
    // @ts-expect-error: views are counted
    sess.views = "one";
  });
  // @ts-expect-error: there is nothing to do
  await store.update("sid");

  // A user's sessions.
  const devices = await store.sessionsOf("ada");
  is<Is<typeof devices, UserSession[]>>();
  const seen: number[] = devices.map(({ data }) => data.views ?? 0);
  const ends: Date | null | undefined = devices[0]?.expires;
  // @ts-expect-error: nobody has declared it
  devices[0]?.data.view;
  const login: string | undefined = (await store.sessionsOf<Mine>(7))[0]?.data.user.name;
  store.sessionsOf("ada", (_error, sessions) => sessions.map(({ id, data }) => id + data.views));
  const counted: number = await store.countOf(BigInt(7));
  const ended: number = await store.destroyAllOf("ada");
  await store.destroyAllOf(7, { except: "sid" });
  await store.destroyAllOf(7, { except: ["sid", "other"] as const });
  store.countOf("ada", (_error, count) => count.toFixed());
  store.destroyAllOf("ada", (_error, count) => count.toFixed());
  store.destroyAllOf("ada", { except: null }, (_error, count) => count.toFixed());
  const indexed: number = await store.reindex();
  store.reindex((_error, count) => count.toFixed());
  // @ts-expect-error: nobody is not everybody
  await store.destroyAllOf(undefined);
  // @ts-expect-error: a user is asked for
  await store.sessionsOf();
  // @ts-expect-error: it is a sid
  await store.destroyAllOf("ada", { except: 5 });
  store.on("created", (sid) => sid.length).on("destroyed", (sid) => sid.length);
  store.on("expired", (sid) => sid.length);
  // @ts-expect-error: a sid has no such method
  store.on("expired", (sid) => sid.toFixed());
  console.log(seen, ends, login, counted, ended, indexed);

  await store.set("sid", { cookie: { originalMaxAge: null }, views: 1 });
  // @ts-expect-error: views are counted
  await store.set("sid", { cookie: { originalMaxAge: null }, views: "one" });
  // @ts-expect-error: a session has a cookie
  await store.touch("sid", {});
  console.log(views, text, sum, id, name, names, isThere);
}
