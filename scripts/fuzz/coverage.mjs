const MAX_POINTS = 1 << 16
const counts = new Uint32Array(MAX_POINTS)
const touched = new Uint32Array(MAX_POINTS)
let touchedCount = 0

/** What instrumented code calls at every point that it passes. */
export function hit(point) {
  if (counts[point]++ === 0) touched[touchedCount++] = point
}

/** Counts by magnitude, so that a loop that runs twice as long is news and one more round is not. */
function bucketOf(count) {
  return count < 4 ? count - 1 : Math.min(7, 30 - Math.clz32(count) + 2)
}

/** Remembers which points were passed, and about how often. */
export class Coverage {
  #seen = new Uint8Array(MAX_POINTS)
  points = 0

  begin() {
    for (let i = 0; i < touchedCount; i++) counts[touched[i]] = 0
    touchedCount = 0
  }

  /** True when the input since {@link begin} did what none before it did. */
  isNews() {
    let news = false
    for (let i = 0; i < touchedCount; i++) {
      const point = touched[i]
      const bit = 1 << bucketOf(counts[point])
      const seen = this.#seen[point]
      if ((seen & bit) !== 0) continue
      if (seen === 0) this.points++
      this.#seen[point] = seen | bit
      news = true
    }
    return news
  }
}
