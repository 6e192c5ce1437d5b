// Types of the API: every operation in src/api/operations.graphql is checked against the server's schema and typed by it.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { codegen } from '@graphql-codegen/core';
import * as operations from '@graphql-codegen/typescript-operations';
import { Kind, concatAST, parse, print, visit } from 'graphql';

const folder = new URL('src/api/', import.meta.url);
const schema = parse(await readFile(new URL('../schema.graphql', import.meta.url), 'utf8'));
const document = parse(await readFile(new URL('operations.graphql', folder), 'utf8'));

const types = await codegen({
  filename: 'generated.ts',
  schema,
  documents: [{ document }],
  config: {
    enumsAsTypes: true,
    skipTypename: true,
    useTypeImports: true,
    scalars: { Count: 'number', DateTime: 'string' },
  },
  plugins: [{ operations: {} }],
  pluginMap: { operations },
});

/** The fragments that an operation spreads, directly or through another one. */
function fragmentsOf(node, found = new Map()) {
  visit(node, {
    FragmentSpread({ name }) {
      if (found.has(name.value)) return;
      const fragment = document.definitions.find((d) => d.kind === Kind.FRAGMENT_DEFINITION && d.name.value === name.value);
      found.set(name.value, fragment);
      fragmentsOf(fragment, found);
    },
  });
  return [...found.values()];
}

let texts = '\n/** An operation with the types of its answer and its variables. */\nexport type Operation<Data, Variables> = string & { __types?: (variables: Variables) => Data };\n';
for (const definition of document.definitions) {
  if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
  const name = definition.name.value;
  const kind = definition.operation[0].toUpperCase() + definition.operation.slice(1);
  const text = print(concatAST([{ kind: Kind.DOCUMENT, definitions: [definition, ...fragmentsOf(definition)] }])).replace(/\s+/g, ' ');
  texts += `export const ${name}: Operation<${name}${kind}, ${name}${kind}Variables> = ${JSON.stringify(text)};\n`;
}
await mkdir(folder, { recursive: true });
await writeFile(new URL('generated.ts', folder), `// Written by types.js.\n${types}${texts}`);
