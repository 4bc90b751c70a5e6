import { cpus, loadavg } from 'node:os'

const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toFixed(3))
const print = (text) => process.stderr.write(`${text}\n`)

export function printHead() {
  const [cpu] = cpus()
  const load = loadavg()[0]?.toFixed(2)
  print(`node ${process.version}, openssl ${process.versions.openssl}, ${cpus().length} × ${cpu?.model ?? 'unknown cpu'}, load ${load}\n`)
  print(
    `${'row'.padEnd(24)}${'value'.padStart(10)} ${'unit'.padEnd(14)}${'reference'.padStart(10)}${'ratio'.padStart(8)}  ${'quartiles'.padEnd(15)}against`,
  )
}

export function printRow({ id, unit, against, better }, measured) {
  if (measured === null) return print(`${id.padEnd(24)}failed, see above`)
  const { value, reference, ratio, spread, against: met = against } = measured
  const range = `${number(spread[0])}–${number(spread[1])}`
  print(
    `${id.padEnd(24)}${number(value).padStart(10)} ${unit.padEnd(14)}${number(reference).padStart(10)}${ratio.toFixed(2).padStart(8)}  ${range.padEnd(15)}${met} (${better} is better)`,
  )
}
