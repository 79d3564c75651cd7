package rotate

import "io"

const (
	aheadBytes = 16 << 20
	aheadFrom  = 1 << 20 // shorter files are not worth it
)

// setAside sees to it that there is disk space for n bytes more. Where there is not,
// to write them tells.
func (f *File) setAside(n int) {
	if !f.Ahead {
		return
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end < aheadFrom || end+int64(n) <= f.aside {
		return
	}
	f.aside = end + int64(n) + aheadBytes // or a part of that
	f.Ahead = allocate(f, end, f.aside-end) == nil
}
