export function vxlanDecap(): void {}
