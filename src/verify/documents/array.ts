import * as z from 'zod'

/** Most items of an array job: its contract and its statement stay within the limit of a document. */
export const MAX_ITEMS = 1000
/** Most arguments of one run, those of its item included. */
export const MAX_ARGV = 64

/** Arguments that follow the contract's own in one run. */
export type Item = readonly string[]

/** An array job: the image runs once for each item, one after the other, each time in a fresh container. */
export interface ArrayTerms {
  /** All different, so that a result belongs to one item. */
  readonly items: readonly Item[]
  /** Of each item. The contract's own limits hold for all of them together. */
  readonly itemLimits: { readonly timeMs: number; readonly outputBytes: number }
  /** Whether the items after one that did not succeed are run. */
  readonly onItemFailure: 'continue' | 'stop'
}

/** How one item ended. `not-run`: the job was over before its turn. */
export type ItemKind = 'succeeded' | 'failed' | 'timeout' | 'out-of-memory' | 'output-too-large' | 'cancelled' | 'not-run'

export interface ItemOutcome {
  readonly kind: ItemKind
  /** 0 to 255; null when the program did not end by itself. */
  readonly exitCode: number | null
}

const itemSchema: z.ZodType<Item> = z.array(z.string().max(4096)).min(1).max(MAX_ARGV)

export const itemsSchema: z.ZodType<readonly Item[]> = z
  .array(itemSchema)
  .min(1)
  .max(MAX_ITEMS)
  .refine((items) => new Set(items.map(itemKey)).size === items.length, { error: 'items must differ' })

const limit = z.number().int().min(1)

export const arraySchema: z.ZodType<ArrayTerms> = z.strictObject({
  items: itemsSchema,
  itemLimits: z.strictObject({ timeMs: limit, outputBytes: limit }),
  onItemFailure: z.enum(['continue', 'stop']),
})

export const itemOutcomesSchema: z.ZodType<readonly ItemOutcome[]> = z
  .array(
    z.strictObject({
      kind: z.enum(['succeeded', 'failed', 'timeout', 'out-of-memory', 'output-too-large', 'cancelled', 'not-run']),
      exitCode: z.number().int().min(0).max(255).nullable(),
    }),
  )
  .min(1)
  .max(MAX_ITEMS)

/** Equal for equal items alone. */
export function itemKey(item: Item): string {
  return JSON.stringify(item)
}

/** Folder of an item in the results, by its place in the contract. */
export function itemFolder(index: number): string {
  return `items/${index}`
}

/** What an item left, by path, size and digest. It is a file of the results and, by its digest, a subject of the receipt. */
export function itemManifestName(index: number): string {
  return `${itemFolder(index)}/manifest.json`
}
