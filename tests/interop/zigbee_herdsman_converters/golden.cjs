// What zigbee-herdsman-converters makes of ZCL messages of locks, and of what a lock is told.
//
//     node golden.cjs <folder with node_modules> '<JSON: [[model, key, value], ...] to be set>'
//
// Prints JSON: {reports: [{name, model, payload}], sets: [{key, value, calls, error}], exposes}.
const path = require("node:path");

for (const level of ["debug", "info", "log", "warn"]) console[level] = () => {}; // its logger would speak into our answer
const from = path.join(process.argv[2], "node_modules", "zigbee-herdsman-converters");
const zhc = require(from);
const wishes = JSON.parse(process.argv[3] || "[]");

const MODELS = ["YRD226/246 TSDB", "ID Lock 202", "ZYA-C4-MOD-S", "YRD256-TSDB"];
const C4_ENDPOINT = {deviceID: 10, profileID: 260, inputClusters: [0, 9, 10, 257, 64512, 1], outputClusters: []};

function device(model) {
    const calls = [];
    const endpoint = (ID, more) => ({
        ID, meta: {}, binds: [], configuredReportings: [], deviceIeeeAddress: "0x000d6f0000000001",
        inputClusters: [1, 257], outputClusters: [],
        supportsInputCluster: () => true,
        getInputClusters: () => [], getOutputClusters: () => [],
        command: async (cluster, command, payload) => { calls.push({cluster, command, payload}); },
        read: async (cluster, attributes) => { calls.push({cluster, command: "read", payload: attributes}); },
        ...more,
    });
    const c4 = model === "ZYA-C4-MOD-S";
    const endpoints = c4
        ? [endpoint(1, C4_ENDPOINT), endpoint(196, {...C4_ENDPOINT, inputClusters: [1]})]
        : [endpoint(1, {})];
    return {
        calls, endpoints, ieeeAddr: "0x000d6f0000000001", type: "EndDevice", powerSource: "Battery",
        modelID: c4 ? undefined : model, manufacturerName: "Yale", manufacturerID: c4 ? 43690 : 1,
        customClusters: {}, meta: {}, linkquality: 100, isDeleted: false,
        getEndpoint: (id) => endpoints.find((each) => each.ID === id),
        addCustomCluster: () => {},
    };
}

async function converted(definition, unit, message, options) {
    let payload = {};
    for (const converter of definition.fromZigbee) {
        const types = [].concat(converter.type);
        if (converter.cluster !== message.cluster || !types.includes(message.type)) continue;
        const full = {...message, device: unit, endpoint: unit.endpoints[0], meta: {}, groupID: 0};
        const made = await converter.convert(definition, full, () => {}, options, {device: unit, state: {}, logger: {}});
        payload = {...payload, ...made};
    }
    return payload;
}

const lock = (type, data) => ({cluster: "closuresDoorLock", type, data});
function messages(model) {
    const found = [];
    for (const lockState of [0, 1, 2, null, 3]) {
        found.push([`lockState ${lockState}`, lock("attributeReport", {lockState})]);
    }
    for (const doorState of model === "ID Lock 202" ? [0, 1, 2, 3, 4, 255, null] : []) {
        found.push([`doorState ${doorState}`, lock("attributeReport", {doorState})]);
    }
    for (let code = 0; code <= 16; code++) {
        for (let source = 0; source <= 4; source++) {
            const data = {opereventcode: code, opereventsrc: source, userid: code === 2 ? 3 : 65535};
            found.push([`operation ${code} ${source}`, lock("commandOperationEventNotification", data)]);
        }
    }
    for (let code = 0; code <= 6; code++) {
        for (const programeventsrc of [0, 1]) {
            const data = {programeventcode: code, programeventsrc, userid: 3};
            found.push([`programming ${code}`, lock("commandProgrammingEventNotification", data)]);
        }
    }
    for (const userstatus of [0, 1, 2, 3]) {
        const data = {userid: 3, userstatus, pincodevalue: "271828"};
        found.push([`pin ${userstatus}`, lock("commandGetPinCodeRsp", data)]);
        found.push([`pin ${userstatus} exposed`, lock("commandGetPinCodeRsp", data), {expose_pin: true}]);
    }
    for (const batteryPercentageRemaining of [0, 175, 200, 255]) {
        const data = {batteryPercentageRemaining};
        found.push([`battery ${batteryPercentageRemaining}`, {cluster: "genPowerCfg", type: "attributeReport", data}]);
    }
    for (const alarmcode of [9, 18, 19, 21, 22, 24, 25, 27, 32, 162, 169]) {
        found.push([`alarm ${alarmcode}`, {cluster: "genAlarms", type: "commandAlarm", data: {alarmcode, clusterid: 64512}}]);
    }
    return found;
}

async function main() {
    const reports = [];
    const exposes = {};
    const sets = [];
    for (const model of MODELS) {
        const unit = device(model);
        const definition = await zhc.findByDevice(unit);
        if (!definition) throw new Error(`no definition for ${model}`);
        const shown = typeof definition.exposes === "function" ? definition.exposes(unit, {}) : definition.exposes;
        exposes[model] = {model: definition.model, vendor: definition.vendor, description: definition.description, exposes: shown};
        for (const [name, message, options] of messages(model)) {
            let payload;
            try {
                payload = await converted(definition, unit, message, options || {});
            } catch (error) {
                payload = {}; // an alarm that this module does not know
            }
            // As it leaves the bridge: JSON has no undefined.
            payload = JSON.parse(JSON.stringify(payload));
            if (Object.keys(payload).length) reports.push({name, model, payload});
        }
    }
    for (const [model, key, value] of wishes) {
        const unit = device(model);
        const definition = await zhc.findByDevice(unit);
        const converter = definition.toZigbee.find((each) => !each.key || each.key.includes(key));
        let error = null;
        try {
            if (!converter) throw new Error(`No converter available for '${key}'`);
            const meta = {message: {[key]: value}, mapped: definition, device: unit, state: {}, options: {}};
            await converter.convertSet(unit.endpoints[0], key, value, meta);
        } catch (failure) {
            error = String(failure);
        }
        sets.push({model, key, value, calls: unit.calls, error});
    }
    // A pipe takes a long text in parts: end when the last one is through.
    process.stdout.write(JSON.stringify({reports, sets, exposes}), () => process.exit(0));
}

main().catch((error) => { process.stderr.write(`${error.stack}\n`); process.exit(1); });
