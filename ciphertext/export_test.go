package ciphertext

// Keepers returns how many columns and indexes SetKeys would reach.
func Keepers(c *Cipher) int {
	c.keepers.mu.Lock()
	defer c.keepers.mu.Unlock()
	return len(c.keepers.all)
}
