// The platforms' packages, of which one is installed.

declare module "connect-redis-rs-*" {
  const addon: import("./addon.js").Addon;
  export = addon;
}
