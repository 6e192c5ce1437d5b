// Figures of the dashboard before a server of its own: node measure.mjs load|draw|memory [MINUTES [MS]], MS from one frame to the next
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { PATIENCE_MS, Server, invispose } from './server.mjs';

const [what, minutes = '10', every = '50'] = process.argv.slice(2);
const hop = Number(every);
const VIEWPORT = { width: 1280, height: 800 };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--enable-precise-memory-info'],
});
const say = (figure) => console.log(JSON.stringify(figure));

async function people(page) {
  page.setDefaultTimeout(PATIENCE_MS);
  await page.waitForFunction(() => Object.keys(window.invisposeScene?.read().persons ?? {}).length > 0);
}

/** From the address to people in the room, and what that loads, as the server packs it. */
async function load(server) {
  // The demonstration's first frames take longer than any page.
  const before = await browser.newPage();
  await before.goto(server.url);
  await people(before);
  await before.close();
  const page = await browser.newPage({ viewport: VIEWPORT });
  const asked = [];
  page.on('request', (request) => asked.push(request));
  const started = performance.now();
  await page.goto(server.url, { waitUntil: 'commit' });
  await people(page);
  const seconds = (performance.now() - started) / 1000;
  const sizes = await Promise.all(asked.map((r) => r.sizes().catch(() => null)));
  say({ what: 'load', seconds, requests: asked.length, bytes: sizes.reduce((sum, s) => sum + (s ? s.responseBodySize + s.responseHeadersSize : 0), 0) });
}

/** Five people who move and a camera that turns: pictures a second, and the page's own time for one. */
async function draw(page) {
  const figures = await page.evaluate(async () => {
    const stage = window.invisposeScene;
    const { frame } = stage;
    const [person] = frame.persons;
    const shift = (p, by, t) => ({ ...p, x: p.x + by.x + 0.3 * Math.sin(t + by.x), y: p.y + by.y + 0.3 * Math.cos(t + by.y) });
    const made = (t) => ({
      ...frame,
      persons: [0, 1, 2, 3, 4].map((i) => {
        const by = { x: (i % 3) - 1, y: Math.floor(i / 3) - 0.5 };
        return {
          ...person,
          id: String(i + 1),
          positionM: shift(person.positionM, by, t),
          keypoints: person.keypoints.map((k) => ({ ...k, positionM: shift(k.positionM, by, t) })),
        };
      }),
    });
    const trails = new Map();
    const own = [];
    const before = { drawn: stage.drawn, at: performance.now() };
    await new Promise((resolve) => {
      const step = () => {
        const now = performance.now();
        const next = made(now / 1000);
        for (const { id, positionM } of next.persons) trails.set(id, [...(trails.get(id) ?? []), positionM].slice(-240));
        stage.setFrame(next, trails, true);
        stage.turn(0.005, 0, 1);
        own.push(performance.now() - now);
        if (now - before.at < 10_000) requestAnimationFrame(step);
        else resolve();
      };
      requestAnimationFrame(step);
    });
    const seconds = (performance.now() - before.at) / 1000;
    own.sort((a, b) => a - b);
    const gl = document.createElement('canvas').getContext('webgl2');
    const info = gl?.getExtension('WEBGL_debug_renderer_info');
    return {
      pictures_per_second: (stage.drawn - before.drawn) / seconds,
      page_ms: { median: own[own.length >> 1], p99: own[Math.floor(own.length * 0.99)] },
      renderer: info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : 'unknown',
    };
  });
  say({ what: 'draw', persons: 5, ...figures });
}

/** As much simulated time as has to be shown. */
const DAY_H = 24;

/** Growth per simulated hour by least squares. */
function slope(rows, of) {
  const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
  const [x, y] = [rows.map((r) => r.simulated_hours), rows.map(of)];
  const [mx, my] = [mean(x), mean(y)];
  return x.reduce((sum, v, i) => sum + (v - mx) * (y[i] - my), 0) / x.reduce((sum, v) => sum + (v - mx) ** 2, 0);
}

/** What the page and the server hold, minute by minute, while simulated time runs as fast as it can; every minute all views are looked at. */
async function memory(server, page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const started = performance.now();
  const newest = async () => Number((await server.graphql('{ currentFrame { id } }')).currentFrame.id);
  const first = await newest();
  const rows = [];
  for (let minute = 0; minute <= Number(minutes) && (rows.at(-1)?.simulated_hours ?? 0) < DAY_H; minute += 1) {
    await page.waitForTimeout(Math.max(0, started + minute * 60_000 - performance.now()));
    for (const key of ['2', '3', '4', '5', '6', '1']) {
      await page.keyboard.press(key);
      await page.waitForTimeout(1_000);
    }
    await people(page);
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    const metric = (name) => metrics.find((m) => m.name === name)?.value;
    const status = await readFile(`/proc/${server.child.pid}/status`, 'utf8');
    const frames = await newest() - first;
    rows.push({
      what: 'memory',
      minute,
      frames,
      simulated_hours: (frames * hop) / 3_600_000,
      page_heap_mb: metric('JSHeapUsedSize') / 1e6,
      nodes: metric('Nodes'),
      listeners: metric('JSEventListeners'),
      // What it has taken for itself, and with it the pages of its own program and of the ring's file.
      server_mb: Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) / 1024,
      server_with_files_mb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024,
    });
    say(rows.at(-1));
  }
  // The first minutes fill what is filled once.
  const later = rows.slice(Math.floor(rows.length / 4));
  if (later.length > 2) {
    say({ what: 'growth in a simulated hour', from_minute: later[0].minute, page_heap_mb: slope(later, (r) => r.page_heap_mb), server_mb: slope(later, (r) => r.server_mb) });
  }
}

/** The demonstration's room, for which a recording of it does not speak. */
const ROOM = `[[site]]
id = "demo"
name = "Demonstration room"
room_m = [6.0, 5.0, 2.7]
${[['router-north', '0.4, 4.6, 1.4'], ['router-east', '5.7, 4.6, 0.9'], ['router-south', '5.6, 0.4, 1.6']].map(([id, at]) => `[[site.links]]
id = "${id}"
transmitter_m = [0.3, 0.3, 1.2]
receiver_m = [${at}]
`).join('')}[[site.zones]]
id = "west"
name = "West half"
polygon_m = [[0, 0], [3, 0], [3, 5], [0, 5]]
`;

/** Ten minutes of two simulated people, again and again: to simulate them takes longer than to look at them. */
async function again() {
  const folder = await mkdtemp(join(tmpdir(), 'invispose-memory-'));
  await invispose(['simulate', '--seconds', '600', '--people', '2', '--out', 'walk.ivr'], folder);
  await invispose(['simulate', '--seconds', '60', '--people', '0', '--out', 'empty.ivr'], folder);
  const source = 'recording:walk.ivr?loop=true&speed=max&site=demo';
  return Server.start(['run', '--source', source, '--baseline', 'empty.ivr', '--experimental-poses'], { folder, settings: `[window]\nhop_ms = ${hop}\n${ROOM}` });
}

const server = what === 'memory' ? await again() : await Server.start(['demo']);
try {
  if (what === 'load') await load(server);
  else {
    // Software draws a picture with the processor that the server needs: memory asks for a small one.
    const page = await browser.newPage({ viewport: what === 'memory' ? { width: 400, height: 300 } : VIEWPORT });
    await page.goto(server.url);
    await people(page);
    if (what === 'draw') await draw(page);
    else if (what === 'memory') await memory(server, page);
    else throw new Error('usage: node measure.mjs load|draw|memory [MINUTES [MS]]');
  }
} finally {
  await browser.close();
  await server[Symbol.asyncDispose]();
}
