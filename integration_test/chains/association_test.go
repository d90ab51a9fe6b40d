package chains

import (
	"fmt"
	"reflect"
	"strings"

	"gorm.io/gorm"
	"pgregory.net/rapid"
)

// drawAssociation draws what an Association does.
func drawAssociation(t *rapid.T) operation {
	before := drawSession(t)
	name := pick(t, names...)
	relation, of := "Cards", cards
	if coin(t) {
		relation, of = "Teams", teams
	}
	records := many(t, 1, 2, func(t *rapid.T) record { return of.draw(t, 2) })
	how := pick(t, "Append", "Append new", "Replace", "Replace new", "Delete", "Clear", "Find", "Count")
	unscoped := sometimes(t, 6)
	text := fmt.Sprintf("db.Take(&a, name = %q); db%v.Model(&a).Association(%q).%s", name, before, relation, how)
	if strings.HasSuffix(how, "new") {
		text += fmt.Sprintf("(&%v)", records)
	}
	if unscoped {
		text = strings.Replace(text, ").", ").Unscoped().", 1)
	}
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		owner := w.account(db, out, name)
		if owner == nil {
			return
		}
		related := w.rows(records)
		if !strings.HasSuffix(how, "new") { // those that there are
			related = w.slice(of)
			out.failed(db.Order("id").Limit(2).Find(related).Error)
		}
		association := before.on(w, db).Model(owner).Association(relation)
		if unscoped {
			association = association.Unscoped()
		}
		values := reflect.ValueOf(related).Elem()
		switch {
		case association.Error != nil:
		case how == "Find":
			found := w.slice(of)
			out.failed(association.Find(found))
			out.seeUnordered("found", found)
		case how == "Count":
			out.note("count: %d", association.Count())
		case how == "Clear":
			out.failed(association.Clear())
		case how == "Delete":
			out.failed(association.Delete(related))
		case strings.HasPrefix(how, "Append"):
			if values.Len() > 0 {
				out.failed(association.Append(related))
			}
		case strings.HasPrefix(how, "Replace"):
			if values.Len() > 0 {
				out.failed(association.Replace(related))
			}
		}
		out.failed(association.Error)
		out.see("related", related)
		out.see("owner", owner)
	}}
}

// drawAssociationOwner draws what an Association does from the other side.
func drawAssociationOwner(t *rapid.T) operation {
	before := drawSession(t)
	id, name := upTo(t, 3)+1, pick(t, names...)
	r := accounts.draw(t, 2)
	how := pick(t, "Append", "Append new", "Replace", "Replace new", "Delete", "Clear", "Find", "Count")
	text := fmt.Sprintf("db.Take(&card, %d); db.Take(&a, name = %q); db%v.Model(&card).Association(%q).%s", id, name, before, "Account", how)
	if strings.HasSuffix(how, "new") {
		text += fmt.Sprintf("(&%v)", r)
	}
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		card, owner := w.empty(cards), w.account(db, out, name)
		if err := db.Take(card, id).Error; err != nil || owner == nil {
			out.failed(err)
			return
		}
		if strings.HasSuffix(how, "new") {
			owner = w.row(r)
		}
		association := before.on(w, db).Model(card).Association("Account")
		switch how {
		case "Append", "Append new":
			out.failed(association.Append(owner))
		case "Replace", "Replace new":
			out.failed(association.Replace(owner))
		case "Delete":
			out.failed(association.Delete(owner))
		case "Clear":
			out.failed(association.Clear())
		case "Count":
			out.note("count: %d", association.Count())
		case "Find":
			found := w.empty(accounts)
			out.failed(association.Find(found))
			out.see("found", found)
		}
		out.failed(association.Error)
		out.see("card", card)
		out.see("owner", owner)
	}}
}

// drawRotate draws a change of the key to seal by. What the other one sealed
// opens all the same.
func drawRotate(t *rapid.T) operation {
	key := upTo(t, 1)
	return operation{text: fmt.Sprintf("crypt.SetKeys(ctx, key %d)", key+1), run: func(w *world, _ *gorm.DB, out *outcome) { out.failed(w.sealBy(key)) }}
}
