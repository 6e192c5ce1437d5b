// The dashboard as people use it: a browser before the real server.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildSchema, parse, validate } from 'graphql';
import { drawsPersons, launch, onlyFrom, open as openIn, openToAll, scene, shows } from './browser.mjs';
import { Server, invispose, temporary } from './server.mjs';

let browser;
/** What most tests look at: one simulated person, written to the store at once. */
let demo;
before(async () => {
  [demo, browser] = await Promise.all([
    Server.start(['demo'], { settings: '[database]\nwrite_every_s = 1\n[[alert]]\nid = "came"\non = ["person.detected"]\nseverity = "medium"\n' }),
    launch(),
  ]);
});
after(() => Promise.all([browser?.close(), demo?.[Symbol.asyncDispose]()]));

const open = (url, viewport) => openIn(browser, url, viewport);

test('the room shows what the API said, marked as simulated', async () => {
  const { page, complaints, asked, close } = await open(demo.url);
  await drawsPersons(page);
  await shows(page, 'SIMULATED');

  // Frame by frame, read back from the scene and asked for again.
  const places = [];
  for (const seen = new Set(); seen.size < 4;) {
    await page.waitForFunction(
      (known) => {
        const { frame, persons } = window.invisposeScene.read();
        return !known.includes(frame) && Object.keys(persons).length > 0;
      },
      [...seen],
    );
    const drawn = await scene(page);
    const { frames } = await demo.graphql(
      `query ($from: DateTime) { frames(from: $from, first: 1, minConfidence: 0.5) {
        nodes { id provenance { model } persons { id positionM { x y } keypoints { id positionM { x y z } } } } } }`,
      { from: drawn.time },
    );
    const [frame] = frames.nodes;
    assert.equal(frame?.id, drawn.frame);
    assert.deepEqual(Object.keys(drawn.persons).sort(), frame.persons.map((p) => p.id).sort());
    for (const { id, positionM, keypoints } of frame.persons) {
      const [spot, ...joints] = drawn.persons[id];
      const said = [{ ...positionM, z: spot.z }, ...keypoints.slice(5).map((k) => k.positionM)];
      [spot, ...joints].forEach((at, i) => {
        for (const axis of ['x', 'y', 'z']) assert.ok(Math.abs(at[axis] - said[i][axis]) < 1e-3, `person ${id}, place ${i}, ${axis}`);
      });
      places.push(`${positionM.x} ${positionM.y}`);
    }
    assert.ok((await page.textContent('.room .provenance')).includes(frame.provenance.model));
    seen.add(drawn.frame);
  }
  assert.ok(new Set(places).size > 1, 'nobody moved');

  // Little at first.
  onlyFrom(demo, asked);
  const sizes = await Promise.all(asked.filter((r) => r.url().includes('/assets/')).map((r) => r.sizes()));
  const loaded = sizes.reduce((sum, s) => sum + s.responseBodySize, 0);
  assert.ok(loaded > 0 && loaded < 500_000, `${loaded} bytes at first`);

  // The other views, by key.
  for (const [key, ready] of [['2', '.signal canvas'], ['3', '.history .sums .events li'], ['4', '.place table'], ['5', '.system table'], ['6', '.example pre'], ['1', '.alerts li']]) {
    await page.keyboard.press(key);
    await page.waitForSelector(ready);
    await shows(page, 'SIMULATED');
    if (key === '4') {
      await page.click('.calibration summary');
      await page.waitForSelector('.baselines li');
      await page.waitForSelector('.models tbody tr');
    }
    await openToAll(page, `view ${key}`);
  }
  assert.deepEqual(complaints, []);
  await close();
});

test('every example query is one that the server takes', async () => {
  const { page, close } = await open(`${demo.url}#explore`);
  await page.waitForSelector('.example');
  const schema = buildSchema(await readFile(new URL('../../schema.graphql', import.meta.url), 'utf8'));
  const queries = await page.locator('.example pre').allTextContents();
  assert.ok(queries.length > 0);
  for (const query of queries) assert.deepEqual(validate(schema, parse(query)), [], query);
  await page.locator('.example button').first().click();
  assert.ok((await page.textContent('.answer')).includes('"currentFrame"'));

  // The link brings the query into the editor.
  await page.locator('.example a.button').first().click();
  await page.waitForURL(/graphiql\?query=/);
  await page.waitForFunction(() => document.querySelector('.graphiql-query-editor')?.textContent.includes('Now'));
  await close();
});

test('GraphiQL, Swagger UI and ReDoc open as the policy lets them', async () => {
  for (const [path, ready] of [['graphiql', '.graphiql-query-editor'], ['docs', '.swagger-ui .opblock'], ['redoc', '.redoc-wrap h1']]) {
    const { page, complaints, asked, close } = await open(`${demo.url}${path}`);
    await page.waitForSelector(ready);
    onlyFrom(demo, asked);
    assert.deepEqual(complaints, [], path);
    await close();
  }
});

test('the past is shown as it is kept, and again as it was', async () => {
  const { page, complaints, close } = await open(`${demo.url}#history`, { width: 1200, height: 800 });
  await page.waitForSelector('.history .sums .events li');
  assert.ok(await page.locator('.history .plan .heat').count() > 0, 'nobody was anywhere');
  const export_ = await page.locator('.exports a').first().getAttribute('href');
  const csv = await (await fetch(new URL(export_, demo.url))).text();
  assert.ok(csv.split('\r\n').length > 2, csv.slice(0, 200));

  // The moment of an event, as the API tells it too.
  const event = page.locator('.history .events li[data-kind="person.detected"]').last();
  const time = await event.locator('time').getAttribute('datetime');
  await event.locator('button').click();
  await page.waitForFunction((t) => (window.invisposeScene?.read().time ?? '') >= t, time);
  const drawn = await scene(page);
  const { frames } = await demo.graphql('query ($from: DateTime) { frames(from: $from, first: 1, minConfidence: 0.5) { nodes { id persons { id } } } }', { from: time });
  assert.equal(drawn.frame, frames.nodes[0].id);
  assert.deepEqual(Object.keys(drawn.persons), frames.nodes[0].persons.map((p) => p.id));
  await page.click('.again button:has-text("Play")');
  await page.waitForFunction((t) => window.invisposeScene.read().time > t, drawn.time);
  await shows(page, 'SIMULATED');
  assert.deepEqual(complaints, []);
  await close();
});

test('a zone that was drawn is kept, seen entered, and taken away', async () => {
  const { page, complaints, close } = await open(`${demo.url}#sites`, { width: 1200, height: 800 });
  await page.click('.draw');
  const plan = page.locator('.place .plan.drawing');
  const { width, height } = await plan.boundingBox();
  // All of the room: beyond the plan's edge the corners are on the walls. What comes in above may move the plan between two clicks.
  for (const [number, [across, down]] of [[0.01, 0.01], [0.99, 0.01], [0.99, 0.99], [0.01, 0.99]].entries()) {
    await plan.click({ position: { x: across * width, y: down * height } });
    await plan.locator('.corner-mark').nth(number).waitFor();
  }
  await page.fill('input[name="name"]', 'The rug');
  await page.click('.drawing button[type="submit"]');
  const row = page.locator('.zones tr', { hasText: 'The rug' });
  await row.waitFor();
  const kept = async () => (await (await fetch(new URL('api/v1/config/zones', demo.url))).json()).items;
  const [zone, ...others] = await kept();
  const { sites: [{ roomM: room }] } = await demo.graphql('{ sites { roomM { x y } } }');
  assert.deepEqual(others, []);
  assert.deepEqual(zone.polygon_m.map(([a, b]) => [a / room.x, b / room.y].map(Math.round)), [[0, 1], [1, 1], [1, 0], [0, 0]]);

  // Somebody is in the room, and so in the zone.
  await page.keyboard.press('1');
  await page.waitForSelector('.events li[data-kind="person.entered_zone"]:has-text("The rug")');
  const { events } = await demo.graphql('query ($zone: ID) { events(zoneId: $zone, kind: "person.entered_zone", first: 1) { edges { node { personId } } } }', { zone: zone.id });
  assert.equal(events.edges.length, 1);

  await page.keyboard.press('4');
  await row.getByRole('button').click();
  await row.waitFor({ state: 'detached' });
  assert.deepEqual(await kept(), []);
  assert.deepEqual(complaints, []);
  await close();
});

test('the figures of the model are shown as its weights have them', async () => {
  const { page, complaints, close } = await open(`${demo.url}#sites`, { width: 1200, height: 800 });
  await page.waitForSelector('.models tbody tr');
  const { models: [{ name, card: { evaluations } }] } = await demo.graphql('{ models { name card { evaluations { people mpjpeMm beatsMean } } } }');
  assert.equal(await page.textContent('.models h3'), name);
  const rows = await page.locator('.models tbody tr').evaluateAll((all) =>
    all.map((row) => ({ people: Number(row.cells[1].textContent), metres: row.cells[3].textContent, beatsMean: row.dataset.beats === 'true', words: row.cells[6].textContent })));
  assert.ok(rows.length > 0);
  assert.deepEqual(
    rows.map(({ metres, ...row }) => ({ ...row, metres: metres.split(' ')[0] })),
    evaluations.map((e) => ({ people: e.people, beatsMean: e.beatsMean, words: e.beatsMean ? 'yes' : 'no', metres: (e.mpjpeMm / 1000).toFixed(2) })),
  );
  assert.deepEqual(complaints, []);
  await close();
});

test('an alert is seen, acknowledged and over', async () => {
  const { page, complaints, close } = await open(demo.url);
  const alert = page.locator('.alerts li[data-rule="came"]').first();
  await alert.waitFor();
  await page.waitForSelector('.raised');
  assert.ok(await alert.locator('.acknowledge').isDisabled(), 'somebody must say who they are');
  await page.fill('.alerts input[name="by"]', 'Ada');
  // Another page hears of the change before the answer to what it asked before it.
  const asksForAlerts = (request) => request.postData()?.includes('query Alerts(');
  let asked;
  let answer;
  const before = new Promise((resolve) => { asked = resolve; });
  const after = new Promise((resolve) => { answer = resolve; });
  const other = await openIn(browser, demo.url, undefined, (page) => page.route('**/graphql', async (route) => {
    if (!asksForAlerts(route.request())) return route.continue();
    const response = await route.fetch();
    asked();
    await after;
    await route.fulfill({ response });
  }));
  await Promise.all([before, drawsPersons(other.page)]);
  const told = async () => (await demo.graphql('{ alerts(status: ACKNOWLEDGED) { ruleId acknowledged { by } } }')).alerts;
  assert.deepEqual(await told(), []);
  await alert.locator('.acknowledge').click();
  await page.waitForSelector('.alerts li[data-status="ACKNOWLEDGED"]:has-text("Ada")');
  assert.deepEqual(await told(), [{ ruleId: 'came', acknowledged: { by: 'Ada' } }]);
  const acknowledged = (page) => page.locator('.alerts li[data-status="ACKNOWLEDGED"]');
  assert.equal(await acknowledged(page).count(), 1);
  await acknowledged(other.page).waitFor();
  const answered = other.page.waitForEvent('requestfinished', asksForAlerts);
  answer();
  await answered;
  await other.page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  assert.equal(await acknowledged(other.page).count(), 1);
  await other.close();
  await page.locator('.alerts li[data-status="ACKNOWLEDGED"] .resolve').click();
  await page.waitForSelector('.alerts li[data-status="ACKNOWLEDGED"]', { state: 'detached' });
  assert.deepEqual(await told(), []);
  assert.deepEqual(complaints, []);
  await close();
});

test('the signal of every link is drawn as it is heard', async () => {
  const { page, complaints, close } = await open(`${demo.url}#signal`);
  const { links } = await demo.graphql('{ links { linkId } }');
  assert.ok(links.length > 0);
  for (const { linkId } of links) {
    // Three pictures with more than one colour, which go on.
    for (const i of [0, 1, 2]) {
      const picture = page.locator(`.heard[data-link="${linkId}"] canvas`).nth(i);
      await picture.waitFor();
      const handle = await picture.elementHandle();
      const top = ([c, before]) => {
        const now = [...c.getContext('2d').getImageData(0, 0, c.width, 2).data];
        return new Set(now).size > 4 && now.join() !== before ? now.join() : null;
      };
      const first = await (await page.waitForFunction(top, [handle, ''])).jsonValue();
      await page.waitForFunction(top, [handle, first]);
    }
  }
  assert.deepEqual(complaints, []);
  await close();
});

/** What the demonstration's seed 1 is to the simulator. */
const DEMONSTRATION = String((3n << 62n) | 1n);

test('the skeleton goes where the simulated person goes', async (t) => {
  const folder = await temporary(t);
  await invispose(['simulate', '--seconds', '180', '--people', '1', '--seed', DEMONSTRATION, '--out', 'walk.ivr', '--truth', 'truth.jsonl'], folder);
  const truth = (await readFile(join(folder, 'truth.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line));
  const server = await Server.start(['demo']);
  t.after(() => server[Symbol.asyncDispose]());
  const { page, close } = await open(server.url);
  await drawsPersons(page);
  const { frames } = await server.graphql('{ frames(first: 1) { nodes { time } } }');
  const began = Date.parse(frames.nodes[0].time);

  // Until the person has been somewhere else.
  const away = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
  const pairs = [];
  for (let drawn = await scene(page); ;) {
    const seconds = (Date.parse(drawn.time) - began) / 1000;
    const { t_s, people: [person] } = truth.reduce((a, b) => (Math.abs(b.t_s - seconds) < Math.abs(a.t_s - seconds) ? b : a));
    assert.ok(Math.abs(t_s - seconds) < 0.1, `no truth of ${seconds} s, after ${pairs.length} frames`);
    const [hip, other] = [11, 12].map((i) => person.keypoints[i]);
    const hips = { x: (hip[0] + other[0]) / 2, y: (hip[1] + other[1]) / 2 };
    const [[spot] = []] = Object.values(drawn.persons);
    if (spot) pairs.push({ spot, hips });
    if (pairs.length > 40 && pairs.some((p) => away(p.hips, hips) > 2.8)) break;
    await page.waitForFunction((last) => window.invisposeScene.read().frame !== last, drawn.frame);
    drawn = await scene(page);
  }

  // Far nearer than the best place that does not move.
  const mean = (list) => list.reduce((sum, v) => sum + v, 0) / list.length;
  const middle = { x: mean(pairs.map((p) => p.hips.x)), y: mean(pairs.map((p) => p.hips.y)) };
  const error = mean(pairs.map((p) => away(p.spot, p.hips)));
  const still = mean(pairs.map((p) => away(middle, p.hips)));
  t.diagnostic(`${pairs.length} frames, ${error.toFixed(2)} m from the truth; the best standing guess is ${still.toFixed(2)} m`);
  assert.ok(error < 0.7 * still, `${error} m from the truth, of ${still} m`);
  await close();
});

test('an empty room shows nobody', async (t) => {
  const server = await Server.start(['run', '--source', 'sim:empty?speed=4']);
  t.after(() => server[Symbol.asyncDispose]());
  const { page, complaints, close } = await open(server.url);
  await page.waitForSelector('.verdict[data-verdict="nobody"]');
  await shows(page, 'SIMULATED');
  assert.equal(await page.textContent('.verdict h1'), 'Nobody');
  assert.deepEqual((await scene(page)).persons, {});
  assert.equal(await page.locator('.card').count(), 0);

  // The same room teaches what quiet is.
  await page.keyboard.press('4');
  await page.click('.calibration summary');
  const known = async () => (await server.graphql('{ calibration { state endedAt links { linkId holds } } }')).calibration;
  await page.waitForSelector('.quiet-room[data-state="NEVER"]');
  await page.click('.listen');
  await page.waitForSelector('.quiet-room[data-state="LISTENING"] progress');
  assert.equal((await known()).state, 'LISTENING');
  await page.waitForSelector('.quiet-room[data-state="DONE"] .done');
  const { endedAt, links } = await known();
  assert.ok((await page.textContent('.quiet-room .done')).includes(endedAt.slice(11, 19)));
  assert.deepEqual(await page.locator('.baselines .good').allTextContents(), links.filter((l) => l.holds).map((l) => l.linkId));
  assert.ok(links.some((l) => l.holds));

  // And what people do there can be recorded.
  await page.fill('.activities input[name="label"]', 'empty');
  await page.click('.activities button[type="submit"]');
  await page.waitForSelector('.activities [role="status"]:has-text("empty-1")');
  const { recordings } = await server.graphql('{ recordings { id status } }');
  assert.deepEqual(recordings, [{ id: 'empty-1', status: 'RECORDING' }]);
  // One at a time: where people are waits.
  await page.waitForSelector('.poses button:disabled');
  assert.deepEqual(complaints, []);
  await close();
});

test('a replay is called a replay, and once it has ended no longer the present', async (t) => {
  const folder = await temporary(t);
  await invispose(['simulate', '--seconds', '10', '--people', '1', '--format', 'intel5300', '--out', 'walk.dat'], folder);
  const server = await Server.start(['replay', 'walk.dat', '--speed', 'max'], { folder });
  t.after(() => server[Symbol.asyncDispose]());
  const { page, complaints, close } = await open(server.url);
  await shows(page, 'REPLAY');
  assert.equal(await page.locator('.card').count(), 0, 'no evaluation has earned poses here');
  await page.waitForSelector('.live.is-old .stale');
  const first = await page.textContent('.stale .old');
  assert.match(first, / old$/);
  await page.waitForFunction((age) => document.querySelector('.stale .old').textContent !== age, first);
  assert.deepEqual(complaints, []);
  await close();
});

test('what comes from the air is called live', async (t) => {
  const port = await new Promise((resolve) => {
    const probe = createSocket('udp4').bind(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
  const server = await Server.start(['run', '--source', `udp://127.0.0.1:${port}`]);
  t.after(() => server[Symbol.asyncDispose]());
  const node = createSocket('udp4');
  let sequence = 0;
  const sending = setInterval(() => node.send(adr018(sequence++), port, '127.0.0.1'), 5);
  t.after(() => { clearInterval(sending); node.close(); });
  const { page, complaints, close } = await open(server.url);
  assert.equal(await page.locator('.verdict[data-verdict="waiting"], .verdict[data-verdict="unknown"]').count(), 1);
  await shows(page, 'LIVE');
  assert.deepEqual(complaints, []);
  await close();
});

/** A packet of an ESP32 node: header, then one byte each of real and imaginary part. */
function adr018(sequence) {
  const packet = Buffer.alloc(20 + 128);
  packet.set([0x01, 0x00, 0x11, 0xc5, 7, 1, 64, 0]);
  packet.writeUInt32LE(2437, 8);
  packet.writeUInt32LE(sequence, 12);
  packet.writeInt8(-40, 16);
  packet.writeInt8(-95, 17);
  for (let i = 0; i < 128; i += 1) packet[20 + i] = i;
  return packet;
}

test('a server that was gone is found again', async (t) => {
  const first = await Server.start(['demo']);
  t.after(() => first[Symbol.asyncDispose]());
  const { page, close } = await open(first.url);
  await drawsPersons(page);
  await first.kill();
  await page.waitForSelector('.wire[data-connection="waiting"]');
  await page.waitForSelector('.live.is-old');
  const second = await Server.start(['demo'], { listen: first.address, folder: first.folder });
  t.after(() => second[Symbol.asyncDispose]());
  await page.waitForSelector('.wire[data-connection="connected"]');
  await page.waitForSelector('.live:not(.is-old)');
  const { currentFrame } = await second.graphql('{ currentFrame { id } }');
  await page.waitForFunction((id) => Number(window.invisposeScene.read().frame) >= Number(id), currentFrame.id);
  await close();
});

test('it works behind a path prefix', async (t) => {
  const prefix = '/some/where';
  const { hostname, port } = new URL(demo.url);
  const proxy = http.createServer((request, response) => {
    if (!request.url.startsWith(`${prefix}/`)) {
      response.writeHead(404).end();
      return;
    }
    const path = request.url.slice(prefix.length);
    const onward = http.request({ hostname, port, path, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  proxy.on('upgrade', (request, socket) => {
    const onward = net.connect(port, hostname, () => {
      const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      onward.write(`GET ${request.url.slice(prefix.length)} HTTP/1.1\r\n${headers.join('')}\r\n`);
      onward.pipe(socket).pipe(onward);
    });
    for (const end of [onward, socket]) end.on('error', () => { onward.destroy(); socket.destroy(); });
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => { proxy.closeAllConnections(); proxy.close(); });

  const { page, complaints, close } = await open(`http://127.0.0.1:${proxy.address().port}${prefix}/`);
  await drawsPersons(page);
  assert.deepEqual(complaints, []);
  await close();
});
