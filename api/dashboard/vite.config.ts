import { defineConfig } from 'vite';

/** A running server, for `npm run dev`. */
const server = process.env.SERVER ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // Relative, so that the page works behind a path prefix.
  base: './',
  build: {
    target: 'es2022',
    modulePreload: false,
    license: { fileName: 'assets/licences.txt' },
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      output: {
        // One name for ever: the server tells versions apart by their ETag.
        entryFileNames: 'assets/[name].js',
        chunkFileNames: 'assets/[name].js',
        assetFileNames: 'assets/[name][extname]',
      },
    },
  },
  server: {
    proxy: {
      '/graphql': { target: server, ws: true },
      ...Object.fromEntries(['/graphiql', '/docs', '/redoc', '/openapi.json', '/api', '/metrics'].map((path) => [path, server])),
    },
  },
});
