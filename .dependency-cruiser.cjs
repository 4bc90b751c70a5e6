// The arrows of docs/architecture.md: verify <- seal <- rpc <- client | gateway | host <- cli; page -> verify; sim -> verify, seal.
const room = (name) => `^src/${name}/`
const only = (name, rooms, packages, builtins = true) => ({
  name: `${name}-imports`,
  severity: 'error',
  from: { path: room(name) },
  to: {
    path: '.',
    pathNot: [...[name, ...rooms].map(room), ...packages.map((p) => `node_modules/${p}`), ...(builtins ? ['^node:', '^[a-z_/]+$'] : [])],
  },
})
const CORE = ['zod', 'jose', 'cbor2', 'saxes', '@peculiar', 'reflect-metadata']
const VERIFY = [...CORE, '@noble/post-quantum']
const SEAL = [...CORE, 'hpke', '@panva', '@noble']
const RPC = ['@grpc', 'protobufjs', 'long']

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, path: '^src/', pathNot: ['\\.d\\.ts$'] }, to: {} },
    { name: 'not-resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'forge-only-in-pkcs12',
      severity: 'error',
      from: { pathNot: '^src/cli/pkcs12\\.ts$' },
      to: { path: 'node_modules/node-forge' },
    },
    {
      name: 'pure-rooms-no-builtins',
      severity: 'error',
      from: { path: '^src/(verify|seal)/', pathNot: '^src/verify/crypto/node\\.ts$' },
      to: { dependencyTypes: ['core'] },
    },
    only('verify', [], VERIFY),
    only('seal', ['verify'], SEAL),
    only('sim', ['verify', 'seal'], CORE),
    only('rpc', ['seal', 'verify'], [...SEAL, ...RPC]),
    only('client', ['rpc', 'seal', 'verify'], [...SEAL, ...RPC, 'tar-stream']),
    only('gateway', ['rpc', 'seal', 'verify'], [...SEAL, ...RPC, 'grpc-health-check', 'kysely', 'libsql', 'pino']),
    only(
      'host',
      ['rpc', 'seal', 'verify', 'sim'],
      [...SEAL, ...RPC, 'dockerode', 'docker-modem', 'pino', 'tar-stream', '@bjorn3', 'cbor2', 'koffi'],
    ),
    // Of the witness it takes the lock of a folder alone.
    only('broker', ['client', 'witness', 'rpc', 'seal', 'verify'], [...SEAL, ...RPC, 'koffi']),
    only('witness', ['seal', 'verify'], [...SEAL, 'pino']),
    only('page', ['verify'], CORE, false),
    only('pool', ['verify'], CORE),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|test)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { conditionNames: ['node', 'import', 'types'], exportsFields: ['exports'] },
  },
}
