// Bundles GraphiQL and the editor's workers into dist/, which the server embeds, beside Swagger UI and ReDoc as they are published.
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

await rm('dist', { recursive: true, force: true });

const common = {
  bundle: true,
  minify: true,
  target: 'es2022',
  legalComments: 'linked',
  define: { 'process.env.NODE_ENV': '"production"' },
  loader: { '.ttf': 'file', '.woff': 'file', '.woff2': 'file' },
  outdir: 'dist/assets',
  entryNames: '[name]',
  assetNames: '[name]',
  logLevel: 'warning',
};

await Promise.all([
  build({ ...common, entryPoints: ['src/main.jsx'], format: 'iife', jsx: 'automatic' }),
  build({
    ...common,
    entryPoints: [
      'monaco-editor/esm/vs/editor/editor.worker.js',
      'monaco-editor/esm/vs/language/json/json.worker.js',
      'monaco-graphql/esm/graphql.worker.js',
    ],
    format: 'iife',
  }),
]);
for (const file of [
  'src/docs.js',
  'src/redoc.js',
  'node_modules/swagger-ui-dist/swagger-ui-bundle.js',
  'node_modules/swagger-ui-dist/swagger-ui.css',
]) {
  await cp(file, `dist/assets/${file.split('/').pop()}`);
}
// Its maker's logo would come from its maker's host.
const redoc = await readFile('node_modules/redoc/bundles/redoc.standalone.js', 'utf8');
await writeFile('dist/assets/redoc.standalone.js', redoc.replaceAll('https://cdn.redoc.ly/redoc/logo-mini.svg', 'data:,'));
for (const page of ['index.html', 'docs.html', 'redoc.html']) await cp(page, `dist/${page}`);
