// Pictures of every view of the demonstration, into the folder given.
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { Server } from './server.mjs';

const [folder, ...only] = process.argv.slice(2);
if (!folder) throw new Error('usage: node screenshots.mjs FOLDER [NAME …]');

const WIDE = { width: 1280, height: 800 };
const PICTURES = [
  { name: 'live', view: 'live', ready: '.card', viewport: WIDE, colorScheme: 'dark' },
  { name: 'live-light', view: 'live', ready: '.card', viewport: WIDE, colorScheme: 'light' },
  { name: 'live-phone', view: 'live', ready: '.card', viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
  { name: 'signal', view: 'signal', ready: '.signal canvas', viewport: WIDE, colorScheme: 'dark' },
  { name: 'history', view: 'history', ready: '.history .sums .events li', press: '.history .events li[data-kind="person.detected"] button', then: '.again .scrub', viewport: WIDE, colorScheme: 'dark' },
  { name: 'sites', view: 'sites', ready: '.models tbody tr', press: '.calibration summary', then: '.baselines li', viewport: { width: 1280, height: 1200 }, colorScheme: 'dark' },
  { name: 'system', view: 'system', ready: '.histogram', viewport: WIDE, colorScheme: 'dark' },
  { name: 'explore', view: 'explore', ready: '.example', viewport: WIDE, colorScheme: 'dark' },
];

const server = await Server.start(['demo'], { settings: '[database]\nwrite_every_s = 1\n' });
const browser = await launch();
try {
  for (const { name, view, ready, press, then, viewport, colorScheme } of PICTURES) {
    if (only.length && !only.includes(name)) continue;
    const page = await browser.newPage({ viewport, colorScheme });
    page.setDefaultTimeout(120_000);
    await page.goto(`${server.url}#${view}`);
    await page.waitForSelector(ready);
    // Paths and plots grow with time.
    await page.waitForTimeout(10_000);
    if (press) {
      await page.locator(press).last().click();
      await page.waitForSelector(then);
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
