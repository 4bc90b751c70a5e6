import type { Binding } from '../documents/binding.ts'
import type { Contract } from '../documents/contract.ts'
import type { Predicate } from '../documents/statement.ts'
import { check } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'

/** A service's evidence binds the TLS key at which it answers; that of a batch job binds none. */
export function serviceKeyChecks({ service }: Contract, { tls }: Pick<Binding, 'tls'>): readonly Check[] {
  const wanted = service === null ? 'no TLS key of a batch job' : 'the TLS key of the service'
  return [check('binding.service-tls', (service === null) === (tls === null), wanted, tls ?? 'none')]
}

/** The execution of a service lists its sessions, each once and no more than it may have clients; nothing else lists any. */
export function sessionListChecks({ service }: Contract, { type, sessions }: Pick<Predicate, 'type' | 'sessions'>): readonly Check[] {
  const wanted = service !== null && type === 'execution'
  const ids = new Set(sessions?.map((s) => s.session) ?? [])
  const fits = sessions === null ? !wanted : wanted && ids.size === sessions.length && ids.size <= service.clients.length
  const want = wanted ? `different sessions, at most ${service.clients.length}` : 'sessions of a service alone'
  return [check('signature.sessions', fits, want, sessions === null ? 'none listed' : `${sessions.length} listed`)]
}
