const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** What many rounds say: medians, and how far the rounds' ratios lie apart (first and last quartile). */
function summarize(values, references) {
  const ratios = values.map((value, i) => value / references[i]).sort((a, b) => a - b)
  const quartile = (q) => ratios[Math.round((ratios.length - 1) * q)]
  return { value: median(values), reference: median(references), ratio: median(ratios), spread: [quartile(0.25), quartile(0.75)] }
}

/**
 * Work per CPU second of this process, all its threads and its page faults included, over at least `sliceMs`: on a machine
 * with other work that figure stands still where wall time does not. `work` does some and says how much.
 */
async function rate(work, sliceMs) {
  let done = 0
  const start = performance.now()
  const cpu = process.cpuUsage()
  while (performance.now() - start < sliceMs) done += await work()
  const { user, system } = process.cpuUsage(cpu)
  return (done * 1e6) / (user + system)
}

/** Code that a verification runs is compiled for good after some 3,000 runs, and a gateway has those behind it soon. */
export const STEADY = { warmMs: 5000 }

/**
 * Measures two kinds of computing in turns, slice by slice, so that a machine that slows down slows both: each round's
 * ratio is taken between neighbours, and the row's ratio is the median of those. (mitata and its like run one after the other.)
 */
export async function interleave(measured, reference, { rounds = 15, sliceMs = 200, warmMs = 500 } = {}) {
  await rate(measured, warmMs)
  await rate(reference, warmMs)
  const [values, references] = [[], []]
  for (let round = 0; round < rounds; round++) {
    const turns = [async () => values.push(await rate(measured, sliceMs)), async () => references.push(await rate(reference, sliceMs))]
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn()
  }
  return summarize(values, references)
}

/** As {@link interleave} for work that waits for other processes: each turn is one run, and says its own figure in wall time. */
export async function interleaveOnce(measured, reference, rounds) {
  await measured()
  await reference()
  const [values, references] = [[], []]
  for (let round = 0; round < rounds; round++) {
    values.push(await measured())
    references.push(await reference())
  }
  return summarize(values, references)
}
