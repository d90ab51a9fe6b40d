package chains

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// drawOrder draws an order in which every row has its place.
func drawOrder(t *rapid.T, of *table) piece {
	key := of.fields[0].column
	order := func(by any) piece {
		return piece{fmt.Sprintf(".Order(%#v)", by), func(_ *world, db *gorm.DB) *gorm.DB { return db.Order(by) }}
	}
	byID := of.name + ".id"
	return pick(t, order(byID), order(byID+" DESC"), order(of.name+"."+key+", "+byID),
		order(clause.OrderByColumn{Column: clause.Column{Table: of.name, Name: "id"}, Desc: true}))
}

// drawQuery draws what comes before a read of rows.
func drawQuery(t *rapid.T, of *table) pieces {
	query := append(drawSession(t), toPieces(drawConditions(t, of, 0, 2))...)
	query = append(query, drawOrder(t, of))
	if sometimes(t, 4) {
		limit, offset := upTo(t, 3), upTo(t, 2)
		query = append(query, piece{fmt.Sprintf(".Limit(%d).Offset(%d)", limit, offset), func(_ *world, db *gorm.DB) *gorm.DB {
			return db.Limit(limit).Offset(offset)
		}})
	}
	return query
}

// drawColumns draws the columns that are read, or nothing, which is all of them.
func drawColumns(t *rapid.T, of *table) pieces {
	if !sometimes(t, 2) {
		return nil
	}
	columns := []string{"id", of.fields[0].column}
	for _, f := range some(t, 4, of.choosable()...) {
		columns = append(columns, f.column)
	}
	comma := func(text string) piece {
		return piece{fmt.Sprintf(".Select(%q)", text), func(_ *world, db *gorm.DB) *gorm.DB { return db.Select(text) }}
	}
	qualified := of.name + "." + strings.Join(columns, ", "+of.name+".")
	return pick(t, selected(columns...), pieces{comma(strings.Join(columns, ", "))}, pieces{comma(qualified)}, pieces{comma("*")},
		pieces{comma(of.name + ".*")}, omitted(columns[2:]...), selected(of.fields[0].name, of.encrypted()[0].column, "id"))
}

func drawReadModels(t *rapid.T) operation {
	of := pick(t, accounts, accounts, cards, teams)
	query := append(drawQuery(t, of), drawColumns(t, of)...)
	into := pick(t, "&[]T", "&[]*T", "&[2]T")
	return operation{text: fmt.Sprintf("db%v.Find(%s of %s)", query, into, of.model), run: func(w *world, db *gorm.DB, out *outcome) {
		rows := w.slice(of)
		switch into {
		case "&[]*T":
			rows = w.slicePointers(of)
		case "&[2]T":
			rows = reflect.New(reflect.ArrayOf(2, w.types[of])).Interface()
		}
		out.done(query.on(w, db).Find(rows))
		out.see("rows", rows)
	}}
}

func drawReadOne(t *rapid.T) operation {
	of := pick(t, accounts, accounts, cards, teams)
	query := append(append(drawSession(t), drawColumns(t, of)...), toPieces(drawConditions(t, of, 0, 1))...)
	how := pick(t, "First", "Last", "Take", "Find")
	if how == "Take" || how == "Find" {
		query = append(query, drawOrder(t, of))
	}
	inline := constant("")
	if coin(t) {
		id := upTo(t, 3) + 1
		inline = pick(t, drawWhere(t, of), constant(fmt.Sprint(id), id))
	}
	return operation{text: fmt.Sprintf("db%v.%s(&%s, %s)", query, how, of.model, inline.text), run: func(w *world, db *gorm.DB, out *outcome) {
		row := w.empty(of)
		tx := query.on(w, db)
		args := inline.args(w, db)
		switch how {
		case "First":
			out.done(tx.First(row, args...))
		case "Last":
			out.done(tx.Last(row, args...))
		case "Take":
			out.done(tx.Take(row, args...))
		default:
			out.done(tx.Limit(1).Find(row, args...))
		}
		out.see("row", row)
	}}
}

func drawReadRelated(t *rapid.T) operation {
	of := pick(t, accounts, cards)
	query := append(drawSession(t), toPieces(drawConditions(t, of, 0, 1))...)
	relate := func(text string, apply func(w *world, db *gorm.DB) *gorm.DB) piece { return piece{text, apply} }
	simple := func(verb, name string) piece {
		return relate(fmt.Sprintf(".%s(%q)", verb, name), func(_ *world, db *gorm.DB) *gorm.DB {
			switch verb {
			case "Joins":
				return db.Joins(name)
			case "InnerJoins":
				return db.InnerJoins(name)
			}
			return db.Preload(name)
		})
	}
	fresh := func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{NewDB: true}) }
	ceiling, f := drawSought(t, cards.field("ceiling")), pick(t, accounts.searchable()...)
	a := drawSought(t, f)
	if of == accounts {
		for _, name := range some(t, 2, "Cards", "Teams", clause.Associations) {
			query = append(query, simple("Preload", name))
		}
		query = append(query, pick(t, simple("Preload", "Cards.Account"),
			relate(`.Preload("Cards", "label <> ?", "work")`, func(_ *world, db *gorm.DB) *gorm.DB { return db.Preload("Cards", "label <> ?", "work") }),
			relate(fmt.Sprintf(`.Preload("Cards", "ceiling <> ?", %v)`, ceiling), func(w *world, db *gorm.DB) *gorm.DB {
				return db.Preload("Cards", "ceiling <> ?", w.argument(ceiling))
			}),
			relate(fmt.Sprintf(`.Joins("JOIN cards ON cards.account_id = accounts.id AND cards.ceiling = ?", %v)`, ceiling), func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("JOIN cards ON cards.account_id = accounts.id AND cards.ceiling = ?", w.argument(ceiling))
			}),
			relate(`.Preload("Teams", "motto IS NOT NULL")`, func(_ *world, db *gorm.DB) *gorm.DB { return db.Preload("Teams", "motto IS NOT NULL") }),
			relate(`.Preload("Cards", func(tx) { tx.Select("id", "account_id", "number").Order("id DESC") })`, func(_ *world, db *gorm.DB) *gorm.DB {
				return db.Preload("Cards", func(tx *gorm.DB) *gorm.DB { return tx.Select("id", "account_id", "number").Order("id DESC") })
			}),
			relate(`.Joins("JOIN cards ON cards.account_id = accounts.id AND cards.number IS NOT NULL").Distinct()`, func(_ *world, db *gorm.DB) *gorm.DB {
				return db.Joins("JOIN cards ON cards.account_id = accounts.id AND cards.number IS NOT NULL").Preload("Cards")
			})))
	} else {
		query = append(query, pick(t, simple("Joins", "Account"), simple("InnerJoins", "Account"), simple("Preload", "Account"), simple("Preload", "Account.Teams"),
			relate(`.Joins("Account", db.Where(city = "Rome"))`, func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("Account", fresh(db).Where(map[string]any{"city": "Rome"}))
			}),
			relate(fmt.Sprintf(`.Joins("Account", db.Where(%s = %v))`, f.column, a), func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("Account", fresh(db).Where(map[string]any{f.column: w.argument(a)}))
			}),
			relate(fmt.Sprintf(`.InnerJoins("Account", db.Where(&account{%s: %v}))`, f.name, a), func(w *world, db *gorm.DB) *gorm.DB {
				return db.InnerJoins("Account", fresh(db).Where(w.row(record{table: accounts, cells: []cell{a.cell}})))
			}),
			relate(fmt.Sprintf(`.Joins("Account").Where(Account.%s <> %v)`, f.column, a), func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("Account").Where(`"Account".`+f.column+` <> ?`, w.argument(a))
			}),
			relate(fmt.Sprintf(`.Joins("Account").Where(map Account.%s: %v)`, f.column, a), func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("Account").Where(map[string]any{"Account." + f.column: w.argument(a)})
			}),
			relate(fmt.Sprintf(`.Preload("Account", %s = %v)`, f.column, a), func(w *world, db *gorm.DB) *gorm.DB {
				return db.Preload("Account", f.column+" = ?", w.argument(a))
			}),
			relate(`.Joins("Account", db.Select("Name", "Email", "Phone"))`, func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("Account", fresh(db).Select("Name", "Email", "Phone"))
			}),
			relate(`.Joins("Account", db.Omit("Email", "Labels"))`, func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("Account", fresh(db).Omit("Email", "Labels"))
			}),
			relate(`.Joins("Account").Where("Account.phone IS NOT NULL")`, func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("Account").Where(`"Account".phone IS NOT NULL`)
			}),
			relate(`.Joins("Account").Preload("Account.Cards")`, func(w *world, db *gorm.DB) *gorm.DB {
				return db.Joins("Account").Preload("Account.Cards")
			})))
	}
	query = append(query, drawOrder(t, of))
	one := sometimes(t, 4)
	text := fmt.Sprintf("db%v.Find(&%s)", query, of.name)
	if one {
		text = fmt.Sprintf("db%v.Take(&%s)", query, of.model)
	}
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		out.madeUp = !strings.Contains(text, `.Joins("Account", db.Select(`)
		defer func() { out.madeUp = false }()
		if one {
			row := w.empty(of)
			out.done(query.on(w, db).Take(row))
			out.see("row", row)
			return
		}
		rows := w.slice(of)
		out.done(query.on(w, db).Find(rows))
		out.see("rows", rows)
	}}
}

func drawReadBatches(t *rapid.T) operation {
	query := append(drawSession(t), toPieces(drawConditions(t, accounts, 0, 1))...)
	return operation{text: fmt.Sprintf("db%v.FindInBatches(&accounts, 2, see)", query), run: func(w *world, db *gorm.DB, out *outcome) {
		rows := w.slice(accounts)
		out.done(query.on(w, db).FindInBatches(rows, 2, func(tx *gorm.DB, batch int) error {
			out.note("batch %d: %d rows", batch, tx.RowsAffected)
			if batch > 20 {
				return errors.New("there is no end to the batches")
			}
			out.see("rows", rows)
			return nil
		}))
	}}
}

func drawReadRows(t *rapid.T) operation {
	return drawRows(t, "account", func(w *world, scan func(row any), out *outcome) {
		row := w.empty(accounts)
		scan(row)
		out.see("row", row)
	})
}

// drawReadRowsPast draws what database/sql reads past GORM: what is stored.
func drawReadRowsPast(t *rapid.T) operation {
	return drawRows(t, "map", func(w *world, scan func(row any), out *outcome) {
		row := map[string]any{}
		scan(&row)
		for column, value := range row {
			if f := accounts.field(column); f == nil || !f.encrypted || value == nil {
				continue
			}
			if stored, ok := value.(string); w.encrypted && (!ok || !strings.HasPrefix(stored, "gc1:")) {
				out.note("%s is no ciphertext, but %v", column, value)
			}
			row[column] = "what is stored"
		}
		out.seeMap("row", accounts, row, nil)
	})
}

// drawRows draws a query whose rows the program scans itself.
func drawRows(t *rapid.T, into string, see func(w *world, scan func(row any), out *outcome)) operation {
	query := append(drawQuery(t, accounts), drawColumns(t, accounts)...)
	text := fmt.Sprintf("rows := db.Model(&account{})%v.Rows(); db.ScanRows(rows, &%s)", query, into)
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		rows, err := query.on(w, db.Model(w.empty(accounts))).Rows()
		out.failed(err)
		if err != nil || rows == nil { // a dry run
			return
		}
		defer rows.Close()
		for rows.Next() {
			see(w, func(row any) { out.failed(db.ScanRows(rows, row)) }, out)
		}
		out.failed(rows.Err())
	}}
}

func drawReadMaps(t *rapid.T) operation {
	of := pick(t, accounts, accounts, cards, teams)
	target, _ := drawTarget(t, of)
	query := append(append(pieces{target}, drawQuery(t, of)...), drawColumns(t, of)...)
	one := sometimes(t, 3)
	text := fmt.Sprintf("db%v.Find(&maps)", query)
	if one {
		text = fmt.Sprintf("db%v.Take(&map)", query)
	}
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		if one {
			m := map[string]any{}
			out.done(query.on(w, db).Take(&m))
			out.seeMap("map", of, m, nil)
			return
		}
		var maps []map[string]any
		out.done(query.on(w, db).Find(&maps))
		out.seeMaps("maps", of, maps, nil)
	}}
}

func drawReadContacts(t *rapid.T) operation {
	target, _ := drawTarget(t, accounts)
	query := append(pieces{target}, drawQuery(t, accounts)...)
	if coin(t) {
		query = append(query, drawColumns(t, accounts)...)
	}
	how := pick(t, "Find(&contacts)", "Scan(&contacts)", "Take(&contact)", "Find(&pointers)", "Scan(&contact)")
	return operation{text: fmt.Sprintf("db%v.%s", query, how), run: func(w *world, db *gorm.DB, out *outcome) {
		var contacts []contact
		var one contact
		var pointers []*contact
		tx := query.on(w, db)
		switch how {
		case "Find(&contacts)":
			out.done(tx.Find(&contacts))
		case "Scan(&contacts)":
			out.done(tx.Scan(&contacts))
		case "Take(&contact)":
			out.done(tx.Take(&one))
		case "Find(&pointers)":
			out.done(tx.Find(&pointers))
		case "Scan(&contact)":
			out.done(tx.Limit(1).Scan(&one))
		}
		out.see("contacts", contacts)
		out.see("contact", one)
		out.see("pointers", pointers)
	}}
}

// destinations returns pointers to what single values of a field can be read
// into: for each of the results, in the plain world and in the encrypted one.
func (f *field) destinations(plural bool) [][2]reflect.Type {
	both := func(types ...reflect.Type) [][2]reflect.Type {
		var pairs [][2]reflect.Type
		for _, t := range types {
			pairs = append(pairs, [2]reflect.Type{t, t})
		}
		return pairs
	}
	var pairs [][2]reflect.Type
	switch f.kind {
	case textKind, taxKind, heldKind:
		pairs = both(reflect.TypeFor[string](), reflect.TypeFor[sql.NullString](), reflect.TypeFor[*string]())
		if f.nullable {
			pairs = pairs[1:]
		}
		if f.kind == heldKind {
			pairs = append(pairs, [2]reflect.Type{reflect.TypeFor[sql.NullString](), reflect.TypeFor[encryptedtype.EncryptedString]()})
		}
	case numberKind:
		pairs = both(reflect.TypeFor[int64](), reflect.TypeFor[sql.NullInt64](), reflect.TypeFor[*int64](), reflect.TypeFor[int]())
	case flagKind:
		pairs = both(reflect.TypeFor[bool](), reflect.TypeFor[sql.NullBool]())
	case bytesKind:
		pairs = both(reflect.TypeFor[sql.Null[[]byte]]()) // GORM takes a []byte for many numbers
		if plural {
			pairs = both(reflect.TypeFor[[]byte]())
		}
	case momentKind:
		pairs = both(reflect.TypeFor[time.Time](), reflect.TypeFor[sql.NullTime]())
	}
	if plural {
		for i, pair := range pairs {
			pairs[i] = [2]reflect.Type{reflect.SliceOf(pair[0]), reflect.SliceOf(pair[1])}
		}
	}
	return pairs
}

// single are the fields whose values have a type that they can be read into by
// themselves.
func single(of *table) []*field {
	return of.where(func(f *field) bool {
		return f.kind != listKind && f.kind != dictKind && f.name != "DeletedAt"
	})
}

func (w *world) destination(pair [2]reflect.Type) any {
	if w.encrypted {
		return reflect.New(pair[1]).Interface()
	}
	return reflect.New(pair[0]).Interface()
}

func drawReadPluck(t *rapid.T) operation {
	of := pick(t, accounts, accounts, cards, teams)
	target, _ := drawTarget(t, of)
	query := append(pieces{target}, drawQuery(t, of)...)
	f := pick(t, single(of)...)
	column := pick(t, f.column, of.name+"."+f.column)
	into := pick(t, f.destinations(true)...)
	distinct := !f.encrypted && sometimes(t, 4)
	text := fmt.Sprintf("db%v.Pluck(%q, &%v)", query, column, into[1])
	if distinct {
		query = pieces{target}
		text = fmt.Sprintf("db%v.Distinct().Order(%q).Pluck(%q, &%v)", query, column, column, into[1])
	}
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		values := w.destination(into)
		tx := query.on(w, db)
		if distinct {
			tx = tx.Distinct().Order(column)
		}
		out.done(tx.Pluck(column, values))
		out.see("values", values)
	}}
}

func drawReadScalar(t *rapid.T) operation {
	of := pick(t, accounts, accounts, cards, teams)
	target, _ := drawTarget(t, of)
	query := append(pieces{target}, drawQuery(t, of)...)
	f := pick(t, single(of)...)
	into := pick(t, f.destinations(false)...)
	how := pick(t, "Scan", "Find", "Row")
	if how == "Row" && f.encrypted {
		into = [2]reflect.Type{reflect.TypeFor[any](), reflect.TypeFor[sql.NullString]()}
	}
	return operation{text: fmt.Sprintf("db%v.Select(%q).Limit(1).%s(&%v)", query, f.column, how, into[1]), run: func(w *world, db *gorm.DB, out *outcome) {
		value := w.destination(into)
		tx := query.on(w, db).Select(f.column).Limit(1)
		switch how {
		case "Scan":
			out.done(tx.Scan(value))
		case "Find":
			out.done(tx.Find(value))
		default:
			row := tx.Row()
			if row == nil { // a dry run
				return
			}
			out.failed(row.Scan(value))
			if !f.encrypted {
				break
			}
			// database/sql gives what is stored.
			if stored, ok := value.(*sql.NullString); ok && stored.Valid && !strings.HasPrefix(stored.String, "gc1:") {
				out.note("read past GORM: %q", stored.String)
			}
			return
		}
		out.see("value", value)
	}}
}

// drawReadMismatch draws a read into what does not fit. Both worlds fail, and the
// encrypted one must not say why in full: database/sql quotes the value.
func drawReadMismatch(t *rapid.T) operation {
	of := pick(t, accounts, accounts, cards)
	f := pick(t, of.where(func(f *field) bool {
		return f.encrypted && (f.kind == textKind || f.kind == bytesKind || f.kind == momentKind)
	})...)
	target, _ := drawTarget(t, of)
	into := pick(t, reflect.TypeFor[int64](), reflect.TypeFor[[]int64](), reflect.TypeFor[bool](), reflect.TypeFor[[]uint8](), reflect.TypeFor[sql.NullFloat64](), reflect.TypeFor[[]sql.NullTime]())
	how := pick(t, "Pluck", "Scan", "Raw")
	return operation{text: fmt.Sprintf("db%s.Select(%q).%s(&%v)", target.text, f.column, how, into), run: func(w *world, db *gorm.DB, out *outcome) {
		value := reflect.New(into).Interface()
		var tx *gorm.DB
		switch how {
		case "Pluck":
			tx = target.apply(w, db).Order("id").Pluck(f.column, value)
		case "Scan":
			tx = target.apply(w, db).Order("id").Select(f.column).Scan(value)
		default:
			tx = db.Raw("SELECT " + f.column + " FROM " + of.name + " ORDER BY id").Scan(value)
		}
		w.search("an error", tx.Error)
		if tx.Error != nil {
			out.note("it failed")
		}
	}}
}

// named is a struct for columns under other names.
type named struct {
	N, Mail string
	Tel     *string
	Pay     int64
	Since   time.Time
	Key     *string
}

func drawReadAliases(t *rapid.T) operation {
	aliases := map[string]string{"n": "name"}
	columns := []string{"accounts.name AS n"}
	for _, one := range some(t, 4, "email AS mail", "phone AS tel", "salary AS pay", "born AS since", "api_key AS key") {
		column, alias, _ := strings.Cut(one, " AS ")
		aliases[alias] = column
		columns = append(columns, pick(t, "accounts.", "")+one)
	}
	target, _ := drawTarget(t, accounts)
	query := append(append(pieces{target}, drawQuery(t, accounts)...), piece{fmt.Sprintf(".Select(%q)", strings.Join(columns, ", ")), func(_ *world, db *gorm.DB) *gorm.DB {
		return db.Select(strings.Join(columns, ", "))
	}})
	into := pick(t, "structs", "maps")
	return operation{text: fmt.Sprintf("db%v.Scan(&%s)", query, into), run: func(w *world, db *gorm.DB, out *outcome) {
		if into == "maps" {
			var maps []map[string]any
			out.done(query.on(w, db).Scan(&maps))
			out.seeMaps("maps", accounts, maps, aliases)
			return
		}
		var rows []named
		out.done(query.on(w, db).Scan(&rows))
		out.see("rows", rows)
	}}
}

// joined is a struct for columns of two tables.
type joined struct {
	ID      uint
	Label   string
	Number  string
	Name    string
	Email   string
	Ceiling int64
}

func drawReadJoined(t *rapid.T) operation {
	target, _ := drawTarget(t, cards)
	kind := pick(t, "JOIN", "LEFT JOIN")
	alias := pick(t, "accounts", "a")
	join := fmt.Sprintf("%s accounts AS %s ON %s.id = cards.account_id", kind, alias, alias)
	columns := fmt.Sprintf("cards.id, cards.label, cards.number, %s.name, %s.email, ceiling", alias, alias)
	into := pick(t, "structs", "maps")
	f := pick(t, accounts.searchable()...)
	a := drawSought(t, f)
	where := pick(t, "1 = 1 OR ", "", "cards.id = 1 OR ", "NOT ") + alias + "." + f.column + pick(t, " = ?", " <> ?")
	return operation{text: fmt.Sprintf("db%s.Select(%q).Joins(%q).Where(%q, %v).Order(%q).Scan(&%s)", target.text, columns, join, where, a, "cards.id", into), run: func(w *world, db *gorm.DB, out *outcome) {
		query := target.apply(w, db).Select(columns).Joins(join).Where(where, w.argument(a)).Order("cards.id")
		if into == "maps" {
			var maps []map[string]any
			out.done(query.Scan(&maps))
			for _, m := range maps { // of two tables
				if email, ok := m["email"]; ok && w.encrypted && email != nil && reflect.TypeOf(email) != reflect.TypeFor[string]() {
					out.note("email is a %T", email)
				}
			}
			out.seeMaps("maps", cards, maps, nil)
			return
		}
		var rows []joined
		out.done(query.Scan(&rows))
		out.see("rows", rows)
	}}
}

func drawReadAggregates(t *rapid.T) operation {
	conditions := toPieces(drawConditions(t, accounts, 0, 1))
	before := append(drawSession(t), conditions...)
	type group struct {
		City  string
		N     int64
		Total int64
	}
	switch upTo(t, 3) {
	case 0:
		return operation{text: fmt.Sprintf("db.Model(&account{})%v.Count(&n)", before), run: func(w *world, db *gorm.DB, out *outcome) {
			var n int64
			out.done(before.on(w, db.Model(w.empty(accounts))).Count(&n))
			out.see("n", n)
		}}
	case 1:
		column := pick(t, accounts.encrypted()...).column
		return operation{text: fmt.Sprintf("db.Model(&account{})%v.Select(%q).Scan(&n)", before, "count("+column+")"), run: func(w *world, db *gorm.DB, out *outcome) {
			var n int64
			out.done(before.on(w, db.Model(w.empty(accounts))).Select("count(" + column + ")").Scan(&n))
			out.see("n", n)
		}}
	case 2:
		return operation{text: fmt.Sprintf("db.Model(&account{})%v.Select(city, count(*) AS n, sum(visits) AS total).Group(city).Having(count(*) > 0).Scan(&groups)", before), run: func(w *world, db *gorm.DB, out *outcome) {
			var groups []group
			out.done(before.on(w, db.Model(w.empty(accounts))).Select("city, count(*) AS n, sum(visits) AS total").Group("city").Having("count(*) > ?", 0).Order("city").Scan(&groups))
			out.see("groups", groups)
		}}
	}
	return operation{text: fmt.Sprintf("db.Model(&account{})%v.Distinct(city).Count(&n)", before), run: func(w *world, db *gorm.DB, out *outcome) {
		var n int64
		out.done(before.on(w, db.Model(w.empty(accounts))).Distinct("city").Count(&n))
		out.see("n", n)
	}}
}
