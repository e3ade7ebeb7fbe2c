export function portOutput(): void {}
