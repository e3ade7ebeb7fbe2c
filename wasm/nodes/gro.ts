export function gro(): void {}
