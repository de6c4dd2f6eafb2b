// An app's own `serializer`, as the native side calls it.

/**
 * Wraps a serializer. `parse` and `stringify` are looked up at each call, as methods of the
 * serializer; `parse` may return a promise.
 * @throws {TypeError} where it has no `parse` or no `stringify`.
 */
exports.adapt = function adapt(serializer, emit) {
  for (const method of ["parse", "stringify"]) {
    if (typeof serializer?.[method] !== "function") {
      throw Object.assign(
        new TypeError(
          `RedisStore: the option serializer must have the methods parse and stringify, ` +
            `its ${method} is ${typeof serializer?.[method]}`,
        ),
        { code: "ERR_INVALID_ARG_VALUE" },
      );
    }
  }

  const parse = (text, expires) => {
    const parsed = serializer.parse(text);
    return typeof parsed?.then === "function"
      ? Promise.resolve(parsed).then((session) => withTrueExpiry(session, expires))
      : withTrueExpiry(parsed, expires);
  };

  return {
    parse,
    stringify: (session) => serializer.stringify(session),
    /** A record of `all()`: the session with its id; undefined, and `corrupt` emitted, for none. */
    record(text, id, expires) {
      const corrupt = (error) => emit("corrupt", id, error);
      const identify = (session) => {
        session.id = id;
        return session;
      };
      try {
        const session = parse(text, expires);
        return typeof session?.then === "function"
          ? session.then(identify).catch(corrupt)
          : identify(session);
      } catch (error) {
        return corrupt(error);
      }
    },
  };
};

/**
 * Puts the key's true expiry (milliseconds since the epoch) into a parsed session, in the type
 * that `cookie.expires` has there. The same rule as src/expiry.rs has for JSON text.
 */
function withTrueExpiry(session, expires) {
  const cookie = session?.cookie;
  if (expires === undefined || typeof cookie?.originalMaxAge !== "number") return session;
  const { originalMaxAge } = cookie;
  if (cookie.expires instanceof Date) cookie.expires = new Date(expires);
  else if (typeof cookie.expires === "string") cookie.expires = new Date(expires).toISOString();
  else if (typeof cookie.expires === "number") cookie.expires = expires;
  // The setter of express-session's own Cookie has changed it.
  cookie.originalMaxAge = originalMaxAge;
  return session;
}
