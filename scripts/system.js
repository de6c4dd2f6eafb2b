"use strict";

// What the project needs of the system and npm and cargo cannot bring.

const { spawnSync } = require("node:child_process");

/** How each package manager installs a package. */
const INSTALLERS = {
  "apt-get": (name) => [
    ["apt-get", "update"],
    ["apt-get", "install", "-y", name],
  ],
  dnf: (name) => [["dnf", "install", "-y", name]],
  yum: (name) => [["yum", "install", "-y", name]],
  apk: (name) => [["apk", "add", name]],
  pacman: (name) => [["pacman", "-Sy", "--noconfirm", name]],
  zypper: (name) => [["zypper", "--non-interactive", "install", name]],
};

/**
 * Installs something with the system's package manager, if this user may.
 * @param {string} what
 * @param {Record<string, string>} names what each package manager calls it
 * @param {(line: string) => void} say
 * @returns {string | undefined} what to do by hand, if it could not be installed
 */
function install(what, names, say) {
  const manager = Object.keys(INSTALLERS).find((command) => runs("which", [command]));
  if (manager === undefined) return `Install ${what} with your system's package manager.`;
  const steps = INSTALLERS[manager](names[manager]);
  const byHand = `Run: ${steps.map((step) => `sudo ${step.join(" ")}`).join(" && ")}`;
  const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  if (asRoot.length > 0 && !runs("sudo", ["-n", "true"])) return byHand;
  say(`installing ${what} (${manager}) …`);
  for (const step of steps) {
    const [command, ...args] = [...asRoot, ...step];
    const { status } = spawnSync(command, args, {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    if (status !== 0) return `${step.join(" ")} has failed. ${byHand}`;
  }
  return undefined;
}

/** Whether a command can be run and succeeds. */
function runs(command, args) {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

module.exports = { install, runs };
