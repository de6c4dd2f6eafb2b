"use strict";

// Installs system packages that the project needs and that npm and cargo do not have.

const { spawnSync } = require("node:child_process");

/** The commands that install a package, by package manager. */
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
 * Installs a package with the system's package manager, if the user has the right to.
 * @param {string} what
 * @param {string | Record<string, string>} names the package's name; by package manager, if they differ
 * @param {(line: string) => void} say
 * @returns {string | undefined} what the user must do, if the installation failed
 */
function install(what, names, say) {
  const manager = Object.keys(INSTALLERS).find((command) => runs("which", [command]));
  if (manager === undefined) return `Install ${what} with your system's package manager.`;
  const steps = INSTALLERS[manager](typeof names === "string" ? names : names[manager]);
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

/** Whether a command runs and succeeds. */
function runs(command, args) {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

module.exports = { install, runs };
