// Trains the 30-16-1 network on the `train` rows of ../data/wdbc.csv and writes model.json: node train.mjs
// Plain JavaScript, seeded, no dependency: the same bytes on every run. The `held-out` rows are read once, at the end.
// With a path as argument it writes there instead.
import { readFileSync, writeFileSync } from 'node:fs'
import { seeded, shuffle } from '../random.mjs'

const HIDDEN = 16
const EPOCHS = 200
const BATCH = 32
const RATE = 0.003
const DECAY = 1e-3
const SEED = 1995
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }

const [header, ...lines] = readFileSync(new URL('../data/wdbc.csv', import.meta.url), 'utf8')
  .trim()
  .split('\n')
const features = header.split(',').slice(3)
const rows = lines.map((line) => {
  const [, split, diagnosis, ...values] = line.split(',')
  return { split, target: diagnosis === 'malignant' ? 1 : 0, values: values.map(Number) }
})
const train = rows.filter((r) => r.split === 'train')
const heldOut = rows.filter((r) => r.split === 'held-out')

/** Six significant digits: what is published is what is evaluated, and the last bits of Math.exp do not matter. */
const round = (value) => Number(value.toPrecision(6))

const mean = features.map((_, f) => round(train.reduce((sum, r) => sum + r.values[f], 0) / train.length))
const scale = features.map((_, f) => round(Math.sqrt(train.reduce((sum, r) => sum + (r.values[f] - mean[f]) ** 2, 0) / train.length)))
const standardize = (values) => values.map((v, f) => (v - mean[f]) / scale[f])

const random = seeded(SEED)
const uniform = (limit) => (2 * random() - 1) * limit
const w1 = Array.from({ length: HIDDEN }, () => features.map(() => uniform(Math.sqrt(6 / features.length))))
const w2 = Array.from({ length: HIDDEN }, () => uniform(Math.sqrt(6 / HIDDEN)))
const b1 = new Array(HIDDEN).fill(0)
const b2 = [0]
const parameters = [...w1, b1, w2, b2]
const moments = parameters.map((p) => ({ first: new Array(p.length).fill(0), second: new Array(p.length).fill(0) }))

function forward(x) {
  const hidden = w1.map((row, h) => {
    let sum = b1[h]
    for (let f = 0; f < x.length; f++) sum += row[f] * x[f]
    return sum > 0 ? sum : 0
  })
  let z = b2[0]
  for (let h = 0; h < HIDDEN; h++) z += w2[h] * hidden[h]
  return { hidden, probability: 1 / (1 + Math.exp(-z)) }
}

function gradients(batch) {
  const sums = parameters.map((p) => new Array(p.length).fill(0))
  for (const { x, target } of batch) {
    const { hidden, probability } = forward(x)
    const error = (probability - target) / batch.length
    for (let h = 0; h < HIDDEN; h++) {
      sums[HIDDEN + 1][h] += error * hidden[h]
      if (hidden[h] === 0) continue
      const back = error * w2[h]
      sums[HIDDEN][h] += back
      for (let f = 0; f < x.length; f++) sums[h][f] += back * x[f]
    }
    sums[HIDDEN + 2][0] += error
  }
  return sums
}

let step = 0
function update(batch) {
  const sums = gradients(batch)
  step += 1
  for (const [k, p] of parameters.entries()) {
    const { first, second } = moments[k]
    const isBias = p === b1 || p === b2
    for (let i = 0; i < p.length; i++) {
      const g = sums[k][i] + (isBias ? 0 : DECAY * p[i])
      first[i] = ADAM.beta1 * first[i] + (1 - ADAM.beta1) * g
      second[i] = ADAM.beta2 * second[i] + (1 - ADAM.beta2) * g * g
      const corrected = Math.sqrt(second[i] / (1 - ADAM.beta2 ** step)) + ADAM.epsilon
      p[i] -= (RATE * (first[i] / (1 - ADAM.beta1 ** step))) / corrected
    }
  }
}

const samples = train.map((r) => ({ x: standardize(r.values), target: r.target }))
for (let epoch = 0; epoch < EPOCHS; epoch++) {
  shuffle(samples, random)
  for (let i = 0; i < samples.length; i += BATCH) update(samples.slice(i, i + BATCH))
}
for (const p of parameters) for (let i = 0; i < p.length; i++) p[i] = round(p[i])

function evaluate(set) {
  const count = { truePositives: 0, falsePositives: 0, trueNegatives: 0, falseNegatives: 0 }
  for (const r of set) {
    const positive = forward(standardize(r.values)).probability >= 0.5
    if (r.target === 1) count[positive ? 'truePositives' : 'falseNegatives'] += 1
    else count[positive ? 'falsePositives' : 'trueNegatives'] += 1
  }
  return { rows: set.length, ...count }
}

const model = {
  name: 'wdbc-mlp-30-16-1',
  positiveClass: 'malignant',
  threshold: 0.5,
  features,
  mean,
  scale,
  hidden: { activation: 'relu', weights: w1, bias: b1 },
  output: { activation: 'sigmoid', weights: w2, bias: b2[0] },
  evaluation: { train: evaluate(train), heldOut: evaluate(heldOut) },
}
const compactArrays = JSON.stringify(model, null, 2).replace(/\[\s+([^[\]{}]+?)\s+\]/g, (_, list) => `[${list.replace(/\s+/g, ' ')}]`)
writeFileSync(process.argv[2] ?? new URL('model.json', import.meta.url), `${compactArrays}\n`)
console.log(JSON.stringify(model.evaluation))
