// A WebSocket client that thinks nothing: a line in is a message out, and the other way round.

import readline from "node:readline";
import { WebSocket } from "ws";

const socket = new WebSocket(process.argv[2]);
const lines = readline.createInterface({ input: process.stdin });
socket.on("message", (text) => process.stdout.write(`${text}\n`));
socket.on("error", (error) => {
	process.stderr.write(`${error}\n`);
	process.exit(1);
});
socket.on("close", () => process.exit(0));
lines.on("line", (text) => socket.send(text));
lines.on("close", () => socket.close());
