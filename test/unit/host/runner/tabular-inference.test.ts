import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRunner, type Runner } from '../../../../src/host/runner/index.ts'
import { type Ran, requestOf, runOnce, TABULAR } from '../../../support/run-request.ts'

const root = new URL('../../../../enclave-images/tabular-inference/', import.meta.url)
const model = JSON.parse(readFileSync(new URL('model/model.json', root), 'utf8'))
const table = Buffer.from(TABULAR.data).toString()
const [HEADER = '', ...ROWS] = table.trim().split('\n')

let runner: Runner
beforeAll(async () => {
  runner = await createRunner({ kind: 'wasm' })
})
afterAll(() => runner.close())

const classify = (csv: string | Uint8Array, argv: string[] = []): Promise<Ran> =>
  runOnce(runner, requestOf(TABULAR.images.wasm, { argv, inputs: { 'data.csv': Buffer.from(csv) } }))

/** The network again, in the words of the training script. */
function probabilityOf(values: readonly number[]): number {
  const x = values.map((v, f) => (v - model.mean[f]) / model.scale[f])
  let z: number = model.output.bias
  for (const [h, row] of (model.hidden.weights as number[][]).entries()) {
    const sum = row.reduce((total, w, f) => total + w * (x[f] ?? 0), model.hidden.bias[h])
    if (sum > 0) z += model.output.weights[h] * sum
  }
  return 1 / (1 + Math.exp(-z))
}

describe('tabular-inference', () => {
  it('predicts what the model says, row by row', async () => {
    const { files } = await classify(table)
    const [head, ...predictions] = (files['predictions.csv'] ?? '').trimEnd().split('\n')
    expect(head).toBe('id,probability,class')
    const expected = ROWS.map((row) => {
      const [id, , , ...values] = row.split(',')
      const probability = probabilityOf(values.map(Number))
      return `${id},${probability.toFixed(6)},${probability >= 0.5 ? 'malignant' : 'benign'}`
    })
    expect(predictions).toEqual(expected)
  })

  it('reports the same accuracy on held-out rows as the training script and the model card', async () => {
    const { files, stdout } = await classify(table)
    const summary = JSON.parse(files['summary.json'] ?? '')
    const { truePositives, trueNegatives, rows } = model.evaluation.heldOut
    expect(summary.heldOut).toMatchObject(model.evaluation.heldOut)
    expect(summary.heldOut.accuracy).toBeCloseTo((truePositives + trueNegatives) / rows, 5)
    expect(stdout).toBe(`${summary.rows} rows: ${summary.malignant} malignant, ${summary.benign} benign\n`)
    const card = readFileSync(new URL('model/README.md', root), 'utf8')
    for (const key of ['accuracy', 'sensitivity', 'specificity']) expect(card).toContain(`${(100 * summary.heldOut[key]).toFixed(1)} %`)
  })

  it('works without diagnoses, in any order of columns, with other line ends', async () => {
    const columns = [0, ...Array.from({ length: 30 }, (_, i) => 32 - i)]
    const pick = (line: string) => columns.map((c) => line.split(',')[c]).join(',')
    const plain = [HEADER, ...ROWS.slice(0, 3)].map(pick).join('\r\n')
    const { files } = await classify(plain)
    const whole = await classify(table)
    expect(files['predictions.csv']).toBe(whole.files['predictions.csv']?.split('\n').slice(0, 4).join('\n').concat('\n'))
    expect(JSON.parse(files['summary.json'] ?? '')).toMatchObject({ rows: 3, labelled: null, heldOut: null })
  })

  it('reads the file that its argument names', async () => {
    const request = requestOf(TABULAR.images.wasm, { argv: ['/in/other.csv'], inputs: { 'other.csv': TABULAR.data } })
    expect(await runOnce(runner, request)).toMatchObject({ kind: 'succeeded' })
  })

  const [first = '', second = ''] = ROWS
  const cells = first.split(',')
  const withCell = (column: number, value: string) => [HEADER, cells.with(column, value).join(',')].join('\n')

  it.each<readonly [string, string | Buffer, string]>([
    ['an empty file', '', 'line 1, column 1: want a header row'],
    ['no rows', `${HEADER}\n`, 'the input has no rows'],
    ['an unknown column', `${HEADER},extra\n${first},1`, 'line 1, column 34: too many columns'],
    ['a missing column', [HEADER, first].map((l) => l.split(',').slice(0, -1).join(',')).join('\n'), 'a feature of the model is missing'],
    ['a column twice', HEADER.replace('texture_mean', 'radius_mean'), 'line 1, column 5: the column appears twice'],
    ['a cell too few', `${HEADER}\n${first}\n${second.slice(0, second.lastIndexOf(','))}`, 'line 3, column 32: fewer cells'],
    ['a cell too many', `${HEADER}\n${first},1`, 'line 2, column 34: more cells'],
    ['an empty line', `${HEADER}\n\n${first}`, 'line 2, column 1: empty line'],
    ...['', 'nan', 'inf', '0x1', '1_000', '1e', '1e999', '--1', '1.2.3', '.5', ' 1', '1 ', '"1"'].map(
      (value) => [`the number ${JSON.stringify(value)}`, withCell(7, value), 'line 2, column 8: want a decimal number'] as const,
    ),
    ...['', 'a b', '=1+1', 'x'.repeat(65), 'é'].map(
      (value) => [`the id ${JSON.stringify(value)}`, withCell(0, value), 'line 2, column 1: want an id'] as const,
    ),
    ['another diagnosis', withCell(2, 'unknown'), 'line 2, column 3: want malignant or benign'],
    ['bytes that are no text', Buffer.from([0xff, 0x00, 0xfe]), 'line 1, column 1: unknown column name'],
  ])('refuses %s, naming the place but no value', async (_, csv, message) => {
    const ran = await classify(csv)
    expect(ran).toMatchObject({ kind: 'failed', exitCode: 2, stdout: '', files: {} })
    expect(ran.stderr).toContain(message)
    expect(ran.stderr).not.toContain(cells[3] ?? '')
  })

  it.each(['/etc/passwd', '/in/', '/in/../out', '/in/.hidden', 'data.csv', '/in/a/b'])('refuses to read %s', async (path) => {
    expect(await classify(table, [path])).toMatchObject({ exitCode: 2, stderr: 'the argument must be /in/ and a file name\n' })
  })

  it('tells a missing file from a malformed one', async () => {
    expect(await classify(table, ['/in/none.csv'])).toMatchObject({ exitCode: 1, stderr: 'the input file does not exist\n' })
  })
})

describe('its model and data', () => {
  it('come out of the training script byte for byte', () => {
    const folder = mkdtempSync(join(tmpdir(), 'model-'))
    execFileSync(process.execPath, [fileURLToPath(new URL('model/train.mjs', root)), join(folder, 'model.json')])
    expect(readFileSync(join(folder, 'model.json'), 'utf8')).toBe(readFileSync(new URL('model/model.json', root), 'utf8'))
    rmSync(folder, { recursive: true })
  })

  it('are 569 rows of 30 features, 143 of them held out', () => {
    expect(ROWS).toHaveLength(569)
    expect(HEADER.split(',').slice(3)).toEqual(model.features)
    expect(ROWS.filter((row) => row.split(',')[1] === 'held-out')).toHaveLength(143)
    expect(ROWS.filter((row) => row.split(',')[2] === 'malignant')).toHaveLength(212)
    const digest = createHash('sha256').update(TABULAR.data).digest('hex')
    expect(readFileSync(new URL('data/README.md', root), 'utf8')).toContain(digest)
  })
})
