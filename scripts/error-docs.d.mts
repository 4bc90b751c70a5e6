export function errorDocs(codes: Readonly<Record<string, { readonly exit: number; readonly fix: string }>>): string
