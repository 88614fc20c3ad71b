// The real zwave-js-server with the real driver, and a mock lock at the far end of a mock radio.
//
// The lock is written here, as the simulated one behaves: it travels, sends its notification, and
// its report 300 ms later. What driver and server make of that is what is compared.
// Reads one act per line, writes one JSON object per line.

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import {
	DoorLockCCOperationGet,
	DoorLockCCOperationReport,
	DoorLockCCOperationSet,
} from "@zwave-js/cc/DoorLockCC";
import { NotificationCCReport } from "@zwave-js/cc/NotificationCC";
import { CommandClasses, Duration } from "@zwave-js/core";
import { ZwavejsServer } from "@zwave-js/server";
import { ccCaps, createMockZWaveRequestFrame, MockController, MockNode } from "@zwave-js/testing";
import {
	createAndStartDriverWithMockPort,
	createDefaultMockControllerBehaviors,
	createDefaultMockNodeBehaviors,
} from "zwave-js/Testing";

const SECURED = 255;
const NODE = 2;
const TRAVEL_MS = 1500;
const REPORT_MS = 300;
const DOOR_MS = 2000;

const { driver, continueStartup, mockPort, serial } = await createAndStartDriverWithMockPort({
	logConfig: { enabled: false },
	storage: { cacheDir: mkdtempSync(path.join(tmpdir(), "doorfleet-zwave-")) },
});
const controller = await MockController.create({
	homeId: 0x7e570001,
	ownNodeId: 1,
	mockPort,
	serial,
});
controller.defineBehavior(...createDefaultMockControllerBehaviors());
const node = await MockNode.create({
	id: NODE,
	controller,
	capabilities: {
		isListening: true,
		genericDeviceClass: 0x40,
		specificDeviceClass: 0x03,
		commandClasses: [
			CommandClasses.Version,
			ccCaps({ ccId: CommandClasses["Door Lock"], version: 4, isSupported: true }),
			ccCaps({ ccId: CommandClasses["User Code"], version: 1, isSupported: true, numUsers: 4 }),
			ccCaps({
				ccId: CommandClasses.Notification,
				version: 8,
				isSupported: true,
				supportsV1Alarm: false,
				notificationTypesAndEvents: { 6: [1, 2, 3, 4, 5, 6, 7, 9, 11, 19, 22, 23] },
			}),
		],
	},
});
controller.addNode(node);
node.defineBehavior(...createDefaultMockNodeBehaviors());

let lost = 0;
const lock = { mode: 0, target: 0, open: false, arrives: undefined };

function report() {
	const left = lock.arrives === undefined ? 0 : Math.ceil((lock.arrives - Date.now()) / 1000);
	return new DoorLockCCOperationReport({
		nodeId: 1,
		currentMode: lock.mode,
		outsideHandlesCanOpenDoor: [true, false, false, false],
		insideHandlesCanOpenDoor: [true, false, false, false],
		targetMode: lock.target,
		duration: new Duration(left, "seconds"),
		doorStatus: lock.open ? "open" : "closed",
		boltStatus: lock.mode === SECURED ? "locked" : "unlocked",
		latchStatus: "open",
	});
}

const send = (cc) =>
	node.sendToController(createMockZWaveRequestFrame(cc, { ackRequested: false }));
const notify = (notificationEvent, bytes) =>
	send(
		new NotificationCCReport({
			nodeId: 1,
			notificationType: 6,
			notificationEvent,
			eventParameters: bytes && Uint8Array.from(bytes),
		}),
	);
const later = (ms, what) => setTimeout(what, ms);

// What is defined last is asked first.
node.defineBehavior({
	handleCC(_, __, received) {
		if (received instanceof DoorLockCCOperationGet) {
			return { action: "sendCC", cc: report() };
		}
		if (received instanceof DoorLockCCOperationSet) {
			// Not acknowledged: only the last of three tries gets through.
			lost = node.autoAckControllerFrames ? 0 : lost + 1;
			if (lost % 3) return { action: "stop" };
			lock.target = received.mode;
			lock.arrives = Date.now() + TRAVEL_MS;
			later(TRAVEL_MS, async () => {
				lock.mode = lock.target;
				lock.arrives = undefined;
				await notify(lock.mode === SECURED ? 3 : 4);
				later(REPORT_MS, () => send(report()));
			});
			return { action: "ok" };
		}
	},
});

async function operate(event, mode, bytes) {
	lock.mode = mode;
	await notify(event, bytes);
	later(REPORT_MS, () => send(report()));
}

const ACTS = {
	turn_by_hand: () => (lock.mode === SECURED ? operate(2, 0) : operate(1, SECURED)),
	come_home: () => operate(6, 0, [2]),
	wrong_code: () => notify(19),
	door: async () => {
		lock.open = true;
		await notify(22);
		later(DOOR_MS, async () => {
			lock.open = false;
			await notify(23);
		});
	},
	"fault:jam_sticks": () => notify(11),
	"heal:jam_sticks": async () => {
		await notify(0, [11]);
		await send(report());
	},
	"fault:presumed_dead": () => {
		node.autoAckControllerFrames = false;
	},
	"heal:presumed_dead": () => {
		node.autoAckControllerFrames = true;
	},
};

const say = (body) => process.stdout.write(`${JSON.stringify(body)}\n`);
const ready = new Promise((resolve) => driver.once("driver ready", resolve));
driver.on("error", (error) => say({ error: String(error) }));
continueStartup();
await ready;
const known = driver.controller.nodes.getOrThrow(NODE);
if (!known.ready) await new Promise((resolve) => known.once("ready", resolve));
const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const server = new ZwavejsServer(driver, { port: 0, host: "127.0.0.1", logger: quiet });
await server.start();
say({ port: server.server.address().port });

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", async (act) => {
	await ACTS[act]();
	say({ done: act });
});
lines.on("close", () => process.exit(0));
