"use strict";

/** What `--help` prints. */
exports.HELP = `Looks at the sessions in Redis, and ends them.

  connect-redis-rs sessions count                how many there are
  connect-redis-rs sessions list                 each with its handle, its end and its size
  connect-redis-rs sessions show HANDLE          the members of one
  connect-redis-rs sessions destroy HANDLE…      ends some, --user USER those of a user, --all all

Where Redis is (as with redis-cli):
  -u, --url URL          redis://…, rediss://…, unix:///…, or host:port; else REDIS_URL, else localhost
  -h, --host HOST        with -p, --port PORT; or -s, --socket FILE
  -n, --db NUMBER
  -c, --cluster          it is a node of a cluster; --url may name several
      --sentinel HOST:PORT,… --master NAME
      --username NAME    the password comes from the environment: REDISCLI_AUTH
      --tls              with --cacert FILE, --cert FILE, --key FILE, --sni NAME, --insecure

Which sessions:
      --prefix PREFIX    the store's prefix; sess: by default
      --user USER        those of a user, if the app's store has the option user
      --user-in MEMBER   that option's value; user by default
      --hash-ids VALUE   the store's option hashIds, with --user: true, migrate or read
      --limit NUMBER     of list

Sealed sessions (the store's option encryption) are opened with the keys in the environment, newest first:
  CONNECT_REDIS_RS_ENCRYPTION_KEYS=ID:SECRET,ID:base64:SECRET

What is printed:
      --show MEMBER,…    the values of these members; of others only name, type and size
      --json             one JSON object a line
  -y, --yes              destroy without a question

A session id is never printed: a handle stands for it, which opens no session.
Exit: 0 done, 1 no such session, 2 wrong usage, 3 Redis or the output failed.`;
