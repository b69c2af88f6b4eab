package logwriter

import (
	"os"
	"sync"
	"syscall"
)

// fileMode is that of a file that is made.
const fileMode = 0o640

// File is a file that lines are appended to, and that can be renamed at any time:
// Reopen makes a new one under its name. It is safe for concurrent use.
type File struct {
	path string

	// mu protects the field below.
	mu   sync.Mutex
	file *os.File
}

// OpenFile opens the file at path, or makes it, to append to it. A pipe that nobody
// reads is an error.
func OpenFile(path string) (*File, error) {
	file, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	return &File{path: path, file: file}, nil
}

func openAppend(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, fileMode)
}

// Write appends p.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(p)
}

// Reopen opens the file again by its name. If that fails, lines go where they went.
func (f *File) Reopen() error {
	file, err := openAppend(f.path)
	if err != nil {
		return err
	}
	f.mu.Lock()
	old := f.file
	f.file = file
	f.mu.Unlock()
	return old.Close()
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
