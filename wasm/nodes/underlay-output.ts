export function underlayOutput(): void {}
