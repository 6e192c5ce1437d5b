// Pictures of every view of the demonstration, into the folder given.
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { Server } from './server.mjs';

const [folder, ...only] = process.argv.slice(2);
if (!folder) throw new Error('usage: node screenshots.mjs FOLDER [NAME …]');

const WIDE = { width: 1280, height: 800 };
const PICTURES = [
  { name: 'live', view: 'live', ready: '.card', viewport: WIDE, colorScheme: 'dark' },
  { name: 'live-light', view: 'live', ready: '.card', viewport: WIDE, colorScheme: 'light' },
  { name: 'live-phone', view: 'live', ready: '.card', viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
  { name: 'signal', view: 'signal', ready: '.signal canvas', viewport: WIDE, colorScheme: 'dark' },
  { name: 'history', view: 'history', ready: '.history .sums .events li', press: '.history .events li[data-kind="person.detected"] button', viewport: WIDE, colorScheme: 'dark' },
  { name: 'sites', view: 'sites', ready: '.place table', viewport: WIDE, colorScheme: 'dark' },
  { name: 'system', view: 'system', ready: '.histogram', viewport: WIDE, colorScheme: 'dark' },
  { name: 'explore', view: 'explore', ready: '.example', viewport: WIDE, colorScheme: 'dark' },
];

const server = await Server.start(['demo'], { settings: '[database]\nwrite_every_s = 1\n' });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
});
try {
  for (const { name, view, ready, press, viewport, colorScheme } of PICTURES) {
    if (only.length && !only.includes(name)) continue;
    const page = await browser.newPage({ viewport, colorScheme });
    page.setDefaultTimeout(120_000);
    await page.goto(`${server.url}#${view}`);
    await page.waitForSelector(ready);
    // Paths and plots grow with time.
    await page.waitForTimeout(10_000);
    if (press) {
      await page.locator(press).last().click();
      await page.waitForSelector('.again .scrub');
      await page.evaluate(() => scrollTo(0, 0));
    }
    // A browser that draws all the time without a graphics card has none left for a picture.
    server.child.kill('SIGSTOP');
    await page.screenshot({ path: join(folder, `${name}.png`) });
    server.child.kill('SIGCONT');
    await page.close();
    console.log(name);
  }
} finally {
  await browser.close();
  await server[Symbol.asyncDispose]();
}
