/** For indices that a test knows to exist. */
export function defined<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('the test expects a value here')
  return value
}
