// Subclasses that apps have written of connect-redis 10's class.
import { RedisStore } from "connect-redis";
import type { SessionData } from "express-session";
import type { RedisClientType } from "redis";

type Callback = (_err?: unknown, _data?: any) => any;
type Done = (err: any, session?: SessionData | null) => void;
interface Mine extends SessionData {
  user: string;
}

/** With connect-redis's own signatures. */
export class Same extends RedisStore {
  get(sid: string, cb?: Callback): Promise<any> {
    return super.get(sid, cb);
  }
  set(sid: string, sess: SessionData, cb?: Callback): Promise<any> {
    return super.set(sid, sess, cb);
  }
  touch(sid: string, sess: SessionData, cb?: Callback): Promise<any> {
    return super.touch(sid, sess, cb);
  }
  destroy(sid: string, cb?: Callback): Promise<any> {
    return super.destroy(sid, cb);
  }
  clear(cb?: Callback): Promise<any> {
    return super.clear(cb);
  }
  length(cb?: Callback): Promise<any> {
    return super.length(cb);
  }
  ids(cb?: Callback): Promise<any> {
    return super.ids(cb);
  }
  all(cb?: Callback): Promise<any> {
    return super.all(cb);
  }
}

/** With promises only, and types of its own. */
export class Promised extends RedisStore {
  override async get(sid: string): Promise<Mine | undefined> {
    const sess: Mine | null = await super.get(sid);
    return sess ?? undefined;
  }
  override async set(sid: string, sess: SessionData): Promise<void> {
    await super.set(sid, sess);
  }
  override async touch(): Promise<void> {}
  override destroy(sid: string): Promise<void> {
    return super.destroy(sid);
  }
  override async clear(): Promise<boolean> {
    await super.clear();
    return true;
  }
  override async length(): Promise<number> {
    return (await super.length()) + 1;
  }
  override async ids(): Promise<string[]> {
    return (await super.ids()).map((sid: string) => `${sid}!`);
  }
  override async all(): Promise<SessionData[]> {
    return super.all();
  }
}

/** With callbacks that have to be given, as express-session declares them. */
export class CalledBack extends RedisStore {
  override get(sid: string, callback: Done): Promise<void> {
    return super.get(`tenant:${sid}`, (err, sess) => callback(err, sess));
  }
  override set(sid: string, sess: SessionData, callback?: (err?: any) => void): Promise<void> {
    return super.set(`tenant:${sid}`, sess, callback);
  }
  override touch(sid: string, sess: SessionData, callback?: () => void): Promise<any> {
    return super.touch(sid, sess, callback);
  }
  override async destroy(sid: string, callback?: (err?: any) => void): Promise<void> {
    try {
      await super.destroy(sid);
      callback?.(null);
    } catch (err) {
      callback?.(err);
    }
  }
  override length(callback: (err: any, length?: number) => void): Promise<any> {
    return super.length(callback);
  }
  override all(callback: (err: any, sessions?: SessionData[] | null) => void): Promise<any> {
    return super.all(callback);
  }
}

/** With fields, a constructor and methods of its own. */
export class Extended extends RedisStore {
  override prefix = "mine:";
  override serializer = {
    parse: (text: string): SessionData => JSON.parse(text),
    stringify: (sess: SessionData) => JSON.stringify(sess),
  };
  override ttl = (sess: SessionData) => sess.cookie.maxAge ?? 60;
  declare client: RedisClientType;
  constructor(
    options: ConstructorParameters<typeof RedisStore>[0],
    readonly tenant = "",
  ) {
    super({ disableTouch: true, ...options });
    this.scanCount = 5;
    this.on("disconnect", () => {});
  }
  async users(): Promise<string[]> {
    const sessions: Mine[] = await this.all();
    return sessions.map(({ user }) => user);
  }
  async close(): Promise<void> {
    await this.client.quit();
  }
}

const some: RedisStore[] = [new Same({ client: 0 as any }), new Extended({ client: 0 as any })];
export const first: RedisStore | undefined = some[0];
