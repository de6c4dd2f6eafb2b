import type { IncomingMessage, ServerResponse } from "node:http";

import type RedisStore = require("./index.js");

/**
 * Makes a page that shows the sessions of a store and ends them, as a middleware for Express or connect.
 *
 * It asks `authorize` before anything else. A session id is never in it, nor the value of a member that
 * `show` does not name. It keeps nothing between two requests, and no request holds Redis or the event
 * loop. For what it does the store emits `audit`.
 *
 * @example
 * app.use("/sessions", admin(store, { authorize: (req) => req.session?.user?.isAdmin === true }));
 * @throws {TypeError} with the code `ERR_INVALID_ARG_VALUE` without `authorize`, for an option of the wrong
 *   type, and for one that does not exist
 */
export declare function admin<Req extends IncomingMessage = any>(
  store: RedisStore,
  options: AdminOptions<Req>,
): AdminMiddleware;

/** A middleware of Express 4 and 5, and of connect. */
export type AdminMiddleware = (
  req: any,
  res: any,
  next: (error?: unknown) => void,
) => Promise<void>;

/** The options of {@link admin}. */
export interface AdminOptions<Req extends IncomingMessage = any> {
  /**
   * Whether a request may see the page: only `true`, or a promise of it, lets it in. Else, and if it throws
   * or rejects, the answer is 403. It may answer by itself, by a login page say; then nothing else is
   * sent.
   */
  authorize: (req: Req, res: ServerResponse) => unknown;
  /**
   * Whether sessions may be destroyed: `true`, or a function that returns `true`, or a promise of it, for a
   * request.
   * @default false
   */
  write?: boolean | ((req: Req) => unknown) | undefined;
  /**
   * The names of the members whose values are shown. Of all others there are the name, the type and
   * the size.
   * @default []
   */
  show?: readonly string[] | undefined;
  /**
   * What the handles are made with, 16 bytes or more. If several processes serve the page, give all of
   * them the same.
   * @default one of this process, at random
   */
  secret?: string | Uint8Array | undefined;
}

/** What the store's event `audit` tells of a request to the page. */
export interface AuditEntry {
  /** What was done, or that a request was refused. */
  action: "list" | "search" | "show" | "destroy" | "destroyAllOf" | "refused";
  /** The handle of the session, if it was found. */
  handle?: string;
  /** The user that was asked for. */
  user?: string;
  /** How many sessions were destroyed. */
  destroyed?: number;
  /** Why the request was refused: what `authorize` threw, or words. */
  reason?: unknown;
}
