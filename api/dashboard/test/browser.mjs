// A browser, and what its pages show.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { PATIENCE_MS } from './server.mjs';

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
  });

/** A page that keeps what it complained about and whom it asked; `prepare` is done before it loads. */
export async function open(browser, url, viewport = { width: 640, height: 400 }, prepare = async () => {}) {
  const context = await browser.newContext({ viewport });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  const asked = [];
  page.on('console', (m) => { if (m.type() === 'error') complaints.push(m.text()); });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => asked.push(request));
  page.on('websocket', (socket) => asked.push({ url: () => socket.url() }));
  await prepare(page);
  await page.goto(url);
  return { page, complaints, asked, close: () => context.close() };
}

/** Nothing came from anywhere else. */
export function onlyFrom(server, asked) {
  const { host } = new URL(server.url);
  for (const request of asked) {
    const url = new URL(request.url());
    assert.ok(['data:', 'blob:'].includes(url.protocol) || url.host === host, request.url());
  }
}

export const scene = (page) => page.evaluate(() => window.invisposeScene.read());
export const drawsPersons = (page) =>
  page.waitForFunction(() => Object.keys(window.invisposeScene?.read().persons ?? {}).length > 0);
export const shows = (page, source) => page.waitForSelector(`.provenance[data-source="${source}"]`);

const axe = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** No serious faults, in light or dark, for people who use what is shown without eyes or mouse. */
export async function openToAll(page, where) {
  await page.evaluate(await axe);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.waitForSelector(`:root[data-theme="${colorScheme}"]`);
    // Of all rules only one looks at colours.
    const rules = colorScheme === 'dark' ? { runOnly: ['color-contrast'] } : {};
    const { violations } = await page.evaluate((only) => window.axe.run({ resultTypes: ['violations'], ...only }), rules);
    const serious = violations.filter((v) => ['serious', 'critical'].includes(v.impact));
    assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.target)}`), [], `${where}, ${colorScheme}`);
  }
}
