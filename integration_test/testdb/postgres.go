package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

// image is what is run where Docker answers. container/test.sh reads it here.
const image = "postgres:17-alpine"

// imageVariable names another image, which is run or the tests fail.
const imageVariable = "GORMCRYPT_TEST_POSTGRES_IMAGE"

var (
	// stopPostgres stops what findPostgres started.
	stopPostgres = func() {}
	// postgresFrom says where findPostgres found it.
	postgresFrom string
)

// findPostgres returns the DSN of a PostgreSQL server: one in a container of the
// image that imageVariable names, and nothing else if it names one; the one that
// GORMCRYPT_TEST_POSTGRES names, else one in a container, else one from the
// binaries on this machine.
func findPostgres() (string, error) {
	if name := os.Getenv(imageVariable); name != "" {
		postgresFrom = "in a container of " + name
		dsn, err := fromContainer(name)
		if err != nil {
			err = fmt.Errorf("%s, which %s names: %w", postgresFrom, imageVariable, err)
		}
		return dsn, err
	}
	if dsn := os.Getenv("GORMCRYPT_TEST_POSTGRES"); dsn != "" {
		postgresFrom = "at GORMCRYPT_TEST_POSTGRES"
		return dsn, nil
	}
	dsn, err := fromContainer(image)
	if err == nil {
		postgresFrom = "in a container of " + image
		return dsn, nil
	}
	dsn, err2 := fromBinaries()
	if err2 == nil {
		postgresFrom = "from the binaries on this machine"
		return dsn, nil
	}
	return "", fmt.Errorf("in a container: %w\nfrom the binaries on this machine: %w\n"+
		"set GORMCRYPT_TEST_POSTGRES to a DSN, start Docker, or install the server (Debian: apt-get install postgresql)", err, err2)
}

// manyConnections is a setting for tests that run in parallel, each with databases
// that stay open until it ends.
const manyConnections = "max_connections=400"

func fromContainer(image string) (dsn string, err error) {
	defer func() {
		// Looking for Docker panics where its settings are wrong.
		if r := recover(); r != nil {
			err = fmt.Errorf("docker: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	provider, err := testcontainers.ProviderDocker.GetProvider()
	if err != nil {
		return "", err
	}
	defer provider.Close()
	if err := provider.Health(ctx); err != nil {
		return "", err
	}
	container, err := postgres.Run(ctx, image, testcontainers.WithCmdArgs("-c", manyConnections))
	stopPostgres = func() { _ = testcontainers.TerminateContainer(container) }
	if err == nil {
		dsn, err = container.ConnectionString(ctx, "sslmode=disable")
	}
	if err == nil {
		err = waitFor(dsn)
	}
	if err != nil {
		err = fmt.Errorf("%w; its log: %s", err, logs(ctx, container))
		stopPostgres() // it may run, and not be reached
		stopPostgres = func() {}
		return "", err
	}
	return dsn, nil
}

// logs returns what a container has printed, if it ever ran.
func logs(ctx context.Context, container *postgres.PostgresContainer) string {
	if container == nil {
		return "none"
	}
	reader, err := container.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer reader.Close()
	text, _ := io.ReadAll(reader)
	return strings.TrimSpace(string(text))
}

// fromBinaries runs a server in a temporary directory, on a free port of the
// loopback interface.
func fromBinaries() (string, error) {
	bin, err := serverBinaries()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "gormcrypt-postgres-")
	if err != nil {
		return "", err
	}
	stopPostgres = func() { os.RemoveAll(dir) }
	asUser, err := serverUser(dir)
	if err != nil {
		return "", err
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = dir
		asUser(cmd)
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "gormcrypt", "--auth=trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	server := run("postgres", "-D", data, "-k", dir, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-c", manyConnections)
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return "", err
	}
	stopPostgres = func() {
		_ = server.Process.Signal(os.Interrupt) // a fast shutdown
		_ = server.Wait()
		os.RemoveAll(dir)
	}
	dsn := fmt.Sprintf("postgres://gormcrypt@127.0.0.1:%d/postgres?sslmode=disable", port)
	if err := waitFor(dsn); err != nil {
		text, _ := os.ReadFile(log.Name())
		stopPostgres()
		stopPostgres = func() {}
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	return dsn, nil
}

// serverBinaries returns the directory of the newest server found.
func serverBinaries() (string, error) {
	var dirs []string
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // the PostgreSQL project's RPMs
		"/usr/libexec/postgresql*",          // Alpine
		"/usr/local/pgsql/bin",              // built from source
		"/opt/homebrew/opt/postgresql*/bin", // macOS
		"/usr/local/opt/postgresql*/bin",
		"/usr/bin", "/usr/local/bin", // Fedora, Arch, FreeBSD
	} {
		found, _ := filepath.Glob(pattern)
		slices.Reverse(found)
		dirs = append(dirs, found...)
	}
	for _, dir := range dirs {
		if isFile(filepath.Join(dir, "initdb")) && isFile(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no initdb and postgres found on this %s machine", runtime.GOOS)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// waitFor waits until a server answers SQL. A container's port is open before.
func waitFor(dsn string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	deadline := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err = db.PingContext(ctx)
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
