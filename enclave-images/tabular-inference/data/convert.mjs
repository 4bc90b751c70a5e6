// Makes wdbc.csv from the copy of the data set that scikit-learn ships (see README.md here for source and licence):
//   node convert.mjs PATH/TO/sklearn/datasets/data/breast_cancer.csv
// Values stay the characters they were. Added: a header row, an id per row, the diagnosis as a word, a fixed split.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { seeded, shuffle } from '../random.mjs'

const SOURCE_SHA256 = 'fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed'
const SPLIT_SEED = 569
const HELD_OUT = { malignant: 53, benign: 90 }

// Order of the source: ten means, ten standard errors, ten "worst" (mean of the three largest) values.
const MEASURES = [
  'radius',
  'texture',
  'perimeter',
  'area',
  'smoothness',
  'compactness',
  'concavity',
  'concave_points',
  'symmetry',
  'fractal_dimension',
]
const FEATURES = ['mean', 'se', 'worst'].flatMap((kind) => MEASURES.map((measure) => `${measure}_${kind}`))

const source = readFileSync(process.argv[2])
if (createHash('sha256').update(source).digest('hex') !== SOURCE_SHA256) throw new Error('this is not the file that was converted')
const [first, ...lines] = source.toString('ascii').trim().split(/\r?\n/)
if (first !== '569,30,malignant,benign' || lines.length !== 569) throw new Error('unexpected layout')

const rows = lines.map((line, i) => {
  const cells = line.split(',')
  if (cells.length !== 31) throw new Error(`line ${i + 2} has ${cells.length} cells`)
  return { id: `wdbc-${String(i + 1).padStart(3, '0')}`, diagnosis: cells[30] === '0' ? 'malignant' : 'benign', values: cells.slice(0, 30) }
})

const random = seeded(SPLIT_SEED)
const heldOut = new Set()
for (const [diagnosis, count] of Object.entries(HELD_OUT)) {
  const ids = rows.filter((r) => r.diagnosis === diagnosis).map((r) => r.id)
  for (const id of shuffle(ids, random).slice(0, count)) heldOut.add(id)
}

const table = [
  ['id', 'split', 'diagnosis', ...FEATURES],
  ...rows.map((r) => [r.id, heldOut.has(r.id) ? 'held-out' : 'train', r.diagnosis, ...r.values]),
]
writeFileSync(new URL('wdbc.csv', import.meta.url), `${table.map((cells) => cells.join(',')).join('\n')}\n`)
