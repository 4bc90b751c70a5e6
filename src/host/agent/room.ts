import { type HostRoom, type JobClaim, misfit, roomObstacle } from '../../verify/appraise/index.ts'
import { AttestError } from '../../verify/errors.ts'

interface Tenant {
  claim: JobClaim
  /** Names of the GPUs that it was given. */
  gpus: readonly string[]
}

/** Which jobs are on this machine, and what each has taken of it. What was not taken here is not used. */
export class Room {
  readonly #room: Omit<HostRoom, 'gpus'>
  readonly #tenants = new Map<string, Tenant>()

  constructor(room: Omit<HostRoom, 'gpus'>) {
    this.#room = room
  }

  /** @throws AttestError `LIMIT_EXCEEDED` for a job that will never fit, `HOST_BUSY` for one that may later. */
  take(jobId: string, claim: JobClaim, gpus: number): void {
    const room = { ...this.#room, gpus }
    const never = misfit(room, claim)
    if (never !== null) throw new AttestError('LIMIT_EXCEEDED', never, { at: 'contract.limits' })
    const others = [...this.#tenants.values()].map((tenant) => tenant.claim)
    const now = roomObstacle(room, others, claim)
    if (now !== null) throw new AttestError('HOST_BUSY', now)
    this.#tenants.set(jobId, { claim, gpus: [] })
  }

  /**
   * Room for inputs, once their size is known and before a byte of them is fetched.
   * @param freeBytes - What the machine can give now: others than jobs use memory, too.
   * @throws AttestError `LIMIT_EXCEEDED`: their keys are out by now, so the job ends.
   */
  addInputs(jobId: string, bytes: number, freeBytes: number): void {
    const tenant = this.#tenant(jobId)
    const taken = [...this.#tenants.values()].reduce((sum, { claim }) => sum + claim.memoryBytes, 0)
    const free = Math.min(this.#room.memoryBytes - taken, freeBytes)
    if (bytes > free) throw new AttestError('LIMIT_EXCEEDED', `the inputs take ${bytes} bytes, ${free} are free`, { at: 'contract.inputs' })
    tenant.claim = { ...tenant.claim, memoryBytes: tenant.claim.memoryBytes + bytes }
  }

  /** The first ones of `ids` that no other job has. @throws AttestError `NO_HOST` where they are too few. */
  takeGpus(jobId: string, ids: readonly string[], wanted: number): readonly string[] {
    const taken = new Set([...this.#tenants.values()].flatMap((tenant) => tenant.gpus))
    const free = ids.filter((id) => !taken.has(id)).slice(0, wanted)
    if (free.length < wanted) throw new AttestError('NO_HOST', `${free.length} GPUs are free, the contract wants ${wanted}`)
    this.#tenant(jobId).gpus = free
    return free
  }

  leave(jobId: string): void {
    this.#tenants.delete(jobId)
  }

  #tenant(jobId: string): Tenant {
    const tenant = this.#tenants.get(jobId)
    if (tenant === undefined) throw new AttestError('INTERNAL', 'a job that has taken no room')
    return tenant
  }
}
